"""① Building, looking into and pushing an image, with the ``docker`` program: the user's own engine and context.

Progress goes by on the terminal's live line; in a pipe each line is passed on. The registry's password is given to a
configuration folder that lives as long as the push, never to the user's own.
"""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multinode_cli.failures import ControlPlaneFailure, UsageFailure
from multinode_cli.terminal import Terminal
from multinode_cli.text import clean, one_line

__all__ = ["Docker", "Image", "Registry"]

LAST_LINES = 25
REPORT = "/tmp/multinode-functions.json"  # noqa: S108 - inside the container
DISCOVERY_TIMEOUT_S = 300
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
_HINTS = (
    (r"no space left on device", "The disk of the Docker engine is full: free some with `docker system prune`."),
    (
        r"manifest unknown|pull access denied|repository does not exist|manifest for .* not found|failed to resolve",
        "The base image was not found: check its name (--base-image).",
    ),
    (
        r"(no such host|i/o timeout|connection refused|network is unreachable)",
        "The engine could not reach the network.",
    ),
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the local engine. `architecture` is Docker's name, such as ``amd64``."""

    image_id: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Registry:
    """Where to push. `host` is what `docker login` takes."""

    host: str
    user: str
    password: str


class Docker:
    """One engine, through the program on the PATH."""

    def __init__(self, program: str, terminal: Terminal) -> None:
        self._program = program
        self._terminal = terminal

    @classmethod
    def found(cls, terminal: Terminal) -> "Docker":
        """Return the engine, asked once whether it answers. Raises ControlPlaneFailure."""
        program = shutil.which("docker")
        if program is None:
            raise ControlPlaneFailure(
                "deploying to AWS needs Docker, and there is no `docker` on the PATH. Install Docker Engine or Docker "
                "Desktop (https://docs.docker.com/engine/install/), then run the same command again"
            )
        docker = cls(program, terminal)
        answer = docker._capture(["version", "--format", "{{.Server.Version}}"])
        if answer.returncode != 0:
            raise ControlPlaneFailure(
                f"Docker does not answer: {_last_line(answer.stderr)}. Start it (for example Docker Desktop, or "
                "`sudo systemctl start docker`), then run the same command again"
            )
        return docker

    # --- building ---

    def build(self, context: Path, *, platform: str | None = None) -> Image:
        """Build the Dockerfile of `context`. Raises UsageFailure with the builder's last lines."""
        id_file = context.parent / f"{context.name}.image-id"
        command = ["build", "--iidfile", str(id_file), *(["--platform", platform] if platform else []), str(context)]
        code, lines = self._run(command, "Building the image")
        if code != 0:
            raise UsageFailure(_failure("the image could not be built", lines))
        image_id = id_file.read_text(encoding="ascii").strip()
        return Image(image_id, self._inspect(image_id)["Architecture"])

    def _inspect(self, image: str) -> dict[str, Any]:
        answer = self._capture(["image", "inspect", image])
        if answer.returncode != 0:
            raise ControlPlaneFailure(f"Docker does not know the image that it built: {_last_line(answer.stderr)}")
        found: dict[str, Any] = json.loads(answer.stdout)[0]
        return found

    # --- looking into it ---

    def discover(self, image: Image, variables: Mapping[str, str]) -> dict[str, Any] | None:
        """Return what ``multinode.worker.discover`` reports of the code in the image; None when it reported nothing.

        `variables` are given to the container alone, which is removed afterwards.
        """
        names = [word for name in variables for word in ("--env", name)]
        command = ["-P", "-m", "multinode.worker.discover", "--code-dir", "/multinode/code", "--output", REPORT]
        created = self._capture(
            ["create", *names, "--entrypoint", "/multinode/venv/bin/python", image.image_id, *command],
            {**os.environ, **variables},
        )
        if created.returncode != 0:
            raise ControlPlaneFailure(f"Docker could not make a container of the image: {_last_line(created.stderr)}")
        container = created.stdout.decode().strip()
        try:
            with self._terminal.live(lambda: "Importing main.py inside the image"):
                self._capture(["start", "--attach", container], timeout_s=DISCOVERY_TIMEOUT_S)
            return self._report(container)
        except subprocess.TimeoutExpired as error:
            raise UsageFailure(f"importing main.py took longer than {DISCOVERY_TIMEOUT_S} s and was stopped") from error
        finally:
            self._capture(["rm", "--force", container])

    def _report(self, container: str) -> dict[str, Any] | None:
        answer = self._capture(["cp", f"{container}:{REPORT}", "-"])
        if answer.returncode != 0:
            return None
        with tarfile.open(fileobj=io.BytesIO(answer.stdout)) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            report = json.loads(member.read()) if member is not None else None
        return report if isinstance(report, dict) else None

    # --- pushing ---

    def push(self, image: Image, reference: str, registry: Registry) -> str:
        """Push the image under `reference` (``repository:tag``) and return its digest, as the registry gave it.

        Raises ControlPlaneFailure when the push ended without a digest, whatever its exit code.
        """
        tagged = self._capture(["tag", image.image_id, reference])
        if tagged.returncode != 0:
            raise ControlPlaneFailure(f"Docker could not tag the image {reference}: {_last_line(tagged.stderr)}")
        with self._logged_in(registry) as (options, environ):
            code, lines = self._run([*options, "push", reference], "Pushing the image", environ)
        digests = _DIGEST.findall("\n".join(lines))
        if code != 0 or not digests:
            raise ControlPlaneFailure(_failure("the image could not be pushed", lines))
        return str(digests[-1])

    @contextmanager
    def _logged_in(self, registry: Registry) -> Iterator[tuple[list[str], dict[str, str]]]:
        """Yield the options and variables under which `docker` may push; the password is gone afterwards."""
        endpoint = self._capture(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
        environ = dict(os.environ)
        if "DOCKER_HOST" not in environ and endpoint.returncode == 0:
            environ["DOCKER_HOST"] = endpoint.stdout.decode().strip()
        environ.pop("DOCKER_CONTEXT", None)
        with tempfile.TemporaryDirectory(prefix="multinode-docker-") as folder:
            options = ["--config", folder]
            login = [self._program, *options, "login", "--username", registry.user, "--password-stdin", registry.host]
            answer = subprocess.run(
                login, input=registry.password.encode(), capture_output=True, check=False, env=environ
            )
            if answer.returncode != 0:
                raise ControlPlaneFailure(
                    f"the registry {registry.host} refused the login: {_last_line(answer.stderr)}"
                )
            yield options, environ

    # --- running docker ---

    def _capture(
        self, arguments: Sequence[str], environ: Mapping[str, str] | None = None, *, timeout_s: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=environ,
            timeout=timeout_s,
        )

    def _run(
        self, arguments: Sequence[str], title: str, environ: Mapping[str, str] | None = None
    ) -> tuple[int, list[str]]:
        """Run `docker`, showing its output as it comes; return its exit code and last lines."""
        last: deque[str] = deque(maxlen=LAST_LINES)
        now = title
        with (
            subprocess.Popen(
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environ,
                text=True,
                encoding="utf-8",
                errors="replace",
            ) as process,
            self._terminal.live(lambda: now),
        ):
            try:
                for line in process.stdout or ():
                    text = clean(line).rstrip()
                    if text.strip():
                        last.append(text)
                        now = f"{title}  {one_line(text)}"
                        if not self._terminal.animated:
                            self._terminal.message(f"  {text}")
            except BaseException:
                process.terminate()
                raise
        return process.returncode, list(last)


def _last_line(output: bytes) -> str:
    lines = [line for line in clean(output.decode("utf-8", "replace")).splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else "it says nothing"


def _failure(what: str, lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    hints = "".join(f"\n{hint}" for pattern, hint in _HINTS if re.search(pattern, text, re.IGNORECASE))
    return what + ":" + "".join(f"\n  {line}" for line in lines) + hints
