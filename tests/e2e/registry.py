"""The image registry: Debian's `docker-registry`, with a user and a password as ECR has them.

It speaks Docker's protocol alone. `EcrImages` answers the calls of ECR's own API that are about images from what the
registry holds; the repository itself, with its policies, is the emulator's.
"""

import base64
import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.e2e.front import Answer, Forward, Request
from tests.e2e.processes import Process, free_port

USER, PASSWORD = "AWS", "ministack-auth-token"
"""What the emulator's `GetAuthorizationToken` hands out."""
PASSWORD_FILE = f"{USER}:$2b$04$fv8v.vsiwyRKXfLFxBeJ9.1EOp2xynyj.r16BOnntgldi.fhWmZbG\n"
CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http: {{addr: "{host}"}}
auth:
  htpasswd: {{realm: registry, path: {folder}/htpasswd}}
"""
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


class Registry:
    """One registry on the loopback interface, below `folder`; to the engine a plain HTTP registry is fine there."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("docker-registry")
        assert program, "docker-registry is not on the PATH: on Debian and Ubuntu, apt install docker-registry"
        folder.mkdir()
        self.host = f"127.0.0.1:{free_port()}"
        (folder / "htpasswd").write_text(PASSWORD_FILE)
        configuration = folder / "config.yml"
        configuration.write_text(CONFIGURATION.format(folder=folder, host=self.host))
        self.process = Process("docker-registry", [program, "serve", configuration], os.environ, folder)
        self._headers = {"Authorization": f"Basic {self.credentials}", "Accept": MANIFESTS}
        self.process.until(self._answers)

    @property
    def credentials(self) -> str:
        return base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def engine_configuration(self, folder: Path) -> Path:
        """Return a folder to name in DOCKER_CONFIG: whoever does so may pull."""
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": self.credentials}}}))
        return folder

    def _answers(self) -> bool:
        try:
            self._call("GET", "/v2/")
        except OSError:
            return False
        return True

    def _call(self, method: str, path: str) -> tuple[dict[str, str], bytes]:
        request = urllib.request.Request(f"http://{self.host}{path}", headers=self._headers, method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            return dict(answer.headers), answer.read()

    def tags(self, repository: str) -> list[str]:
        try:
            _, body = self._call("GET", f"/v2/{repository}/tags/list")
        except urllib.error.HTTPError as error:
            if error.code == 404:  # nothing was ever pushed
                return []
            raise
        return sorted(json.loads(body)["tags"] or [])

    def digest(self, repository: str, tag: str) -> str:
        headers, _ = self._call("HEAD", f"/v2/{repository}/manifests/{tag}")
        return headers["Docker-Content-Digest"]

    def delete(self, repository: str, tag: str) -> None:
        """Delete the image. The protocol deletes it under all its tags; ECR would leave it under the others."""
        digest = self.digest(repository, tag)
        others = [other for other in self.tags(repository) if other != tag]
        assert digest not in {self.digest(repository, other) for other in others}, f"{tag} is not the only tag"
        self._call("DELETE", f"/v2/{repository}/manifests/{digest}")


class EcrImages:
    """`DescribeImages`, `ListImages` and `BatchDeleteImage`, by tag."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def describe(self, request: Request, forward: Forward) -> Answer:
        repository = request.data["repositoryName"]
        tags = self._registry.tags(repository)
        wanted = [image["imageTag"] for image in request.data.get("imageIds", [])] or tags
        missing = [tag for tag in wanted if tag not in tags]
        if missing:
            message = f"The image with imageId {{imageTag:'{missing[0]}'}} does not exist within the repository"
            return Answer.error("ImageNotFoundException", message)
        return Answer.json({"imageDetails": [self._image(repository, tag) for tag in wanted]})

    def list(self, request: Request, forward: Forward) -> Answer:
        repository = request.data["repositoryName"]
        found: list[dict[str, Any]] = [self._image(repository, tag) for tag in self._registry.tags(repository)]
        return Answer.json(
            {"imageIds": [{"imageTag": i["imageTags"][0], "imageDigest": i["imageDigest"]} for i in found]}
        )

    def delete(self, request: Request, forward: Forward) -> Answer:
        for image in request.data["imageIds"]:
            self._registry.delete(request.data["repositoryName"], image["imageTag"])
        return Answer.json({"imageIds": request.data["imageIds"], "failures": []})

    def _image(self, repository: str, tag: str) -> dict[str, object]:
        return {
            "repositoryName": repository,
            "imageTags": [tag],
            "imageDigest": self._registry.digest(repository, tag),
        }
