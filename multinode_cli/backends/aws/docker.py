"""Building, inspecting and pushing an image, with the ``docker`` program: the user's own engine and context.

Progress is shown on the terminal's live line; in a pipe each line is passed on. The registry's password is stored in a
configuration folder that exists only during the push, never in the user's own.
"""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multinode_cli.console.programs import run_shown
from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import clean, one_line
from multinode_cli.errors import CliFailure, ControlPlaneFailure, UsageFailure

LAST_LINES = 25
REPORT = "/tmp/multinode-functions.json"  # noqa: S108 - inside the container
DISCOVERY_TIMEOUT_S = 300
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
_ERROR_LINE = re.compile(r"(error|denied|unauthorized|failed to \w+)\b", re.IGNORECASE)
_NOT_SHOWN = re.compile(
    r"DEPRECATED: The legacy builder|Install the buildx component|https://docs\.docker\.com/go/buildx"
)


@dataclass(frozen=True, slots=True)
class _Hint:
    """What to do about an output that `pattern` is found in. `kind`: who has to fix it."""

    pattern: str
    advice: str
    kind: type[CliFailure]


_ENGINE_HINTS = (
    _Hint(
        r"no space left on device",
        "The disk of the Docker engine is full: free some with `docker system prune`, then run the same command again",
        ControlPlaneFailure,
    ),
    _Hint(
        r"cannot connect to the docker daemon|error during connect|is the docker daemon running",
        "The Docker engine stopped: start it, then run the same command again",
        ControlPlaneFailure,
    ),
)
_NETWORK_HINT = _Hint(
    r"no such host|i/o timeout|TLS handshake timeout|connection refused|network is unreachable"
    r"|temporary failure in name|server misbehaving",
    "The network could not be reached: check it (and the engine's proxy), then run the same command again",
    ControlPlaneFailure,
)
_BUILD_HINTS = (
    *_ENGINE_HINTS,
    _Hint(
        r"manifest unknown|pull access denied|repository does not exist|manifest for .* not found"
        r"|failed to resolve .*: not found",
        "The base image was not found: check its name (--base-image), or `docker login` to its registry",
        UsageFailure,
    ),
    _NETWORK_HINT,
    _Hint(r"invalid reference format", "That is not the name of an image: check --base-image", UsageFailure),
    _Hint(
        r"python3\S*: (executable file )?not found|stat python3",
        "The base image has no python3: choose one that has it, such as python:3.11-slim (--base-image)",
        UsageFailure,
    ),
    _Hint(
        r"ensurepip is not|No module named '?(ensurepip|venv)",
        "The base image's Python lacks the module venv: add python3-venv to packages.txt",
        UsageFailure,
    ),
)
_PUSH_HINTS = (
    *_ENGINE_HINTS,
    _Hint(
        r"denied|unauthorized|no basic auth credentials|403 Forbidden",
        "The registry does not allow it. Whoever deploys needs, on the deployment's repository: "
        "ecr:BatchCheckLayerAvailability, InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload and PutImage",
        ControlPlaneFailure,
    ),
    _NETWORK_HINT,
)
"""The first that matches is shown."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the local engine. `architecture` is Docker's name, such as ``amd64``."""

    image_id: str
    architecture: str


@dataclass(frozen=True, slots=True)
class DiscoveryRun:
    """The result of importing ``main.py`` in the image. `report` is None if the import ended the whole process."""

    report: dict[str, Any] | None
    exit_code: int
    printed: str


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
        """Return the engine, after checking that it answers. Raises ControlPlaneFailure."""
        program = shutil.which("docker")
        if program is None:
            raise ControlPlaneFailure(
                "deploying to AWS needs Docker, but there is no `docker` on the PATH. Install Docker Engine or Docker "
                "Desktop (https://docs.docker.com/engine/install/), then run the same command again"
            )
        docker = cls(program, terminal)
        docker.version()
        return docker

    def version(self) -> str:
        """Return the engine's version. Raises ControlPlaneFailure when it does not answer."""
        answer = self._capture(["version", "--format", "{{.Server.Version}}"])
        if answer.returncode != 0:
            raise ControlPlaneFailure(
                f"Docker does not answer: {_last_line(answer.stderr)}. Start it (for example Docker Desktop, or "
                "`sudo systemctl start docker`), then run the same command again"
            )
        return one_line(answer.stdout.decode("utf-8", "replace"), 40)

    # --- building ---

    def build(self, context: Path) -> Image:
        """Build the Dockerfile of `context`; the same context gives the same image, from the engine's cache.

        Raises: UsageFailure, or ControlPlaneFailure when it is not the project's fault.
        """
        id_file = context.parent / f"{context.name}.image-id"
        # One manifest per image: attestations that BuildKit would add have no tag by which to delete them.
        environ = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        code, lines = self._run(["build", "--iidfile", str(id_file), str(context)], "Building the image", environ)
        if code != 0 or not id_file.is_file():
            raise self._failure(f"the image could not be built (exit code {code})", lines, _BUILD_HINTS, UsageFailure)
        image_id = id_file.read_text(encoding="ascii").strip()
        return Image(image_id, self._inspect(image_id)["Architecture"])

    def _inspect(self, image: str) -> dict[str, Any]:
        answer = self._capture(["image", "inspect", image])
        if answer.returncode != 0:
            raise ControlPlaneFailure(f"Docker does not know the image that it built: {_last_line(answer.stderr)}")
        found: dict[str, Any] = json.loads(answer.stdout)[0]
        return found

    # --- inspecting ---

    def discover(self, image: Image, variables: Mapping[str, str]) -> DiscoveryRun:
        """Return what ``multinode.worker.discover`` finds in the image's code.

        `variables` are given to the container alone, which is removed afterwards. Raises UsageFailure when it takes too
        long, ControlPlaneFailure when there is no container.
        """
        names = [word for name in variables for word in ("--env", name)]
        command = ["-P", "-m", "multinode.worker.discover", "--code-dir", "/multinode/code", "--output", REPORT]
        created = self._capture(
            ["create", "--init", *names, "--entrypoint", "/multinode/venv/bin/python", image.image_id, *command],
            {**os.environ, **variables},
        )
        if created.returncode != 0:
            raise ControlPlaneFailure(f"Docker could not make a container of the image: {_last_line(created.stderr)}")
        container = created.stdout.decode().strip()
        try:
            with self._terminal.live(lambda: "Importing main.py inside the image"):
                ran = self._capture(["start", "--attach", container], timeout_s=DISCOVERY_TIMEOUT_S)
            return DiscoveryRun(
                self._report(container), ran.returncode, clean((ran.stdout + ran.stderr).decode("utf-8", "replace"))
            )
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

        Raises ControlPlaneFailure if the push reported an error or ended without a digest, whatever its exit code.
        """
        tagged = self._capture(["tag", image.image_id, reference])
        if tagged.returncode != 0:
            raise ControlPlaneFailure(f"Docker could not tag the image {reference}: {_last_line(tagged.stderr)}")
        with self._logged_in(registry) as (options, environ):
            code, lines = self._run([*options, "push", reference], "Pushing the image", environ)
        digests = _DIGEST.findall("\n".join(lines))
        if code != 0 or not digests or any(_ERROR_LINE.match(line) for line in lines):
            what = f"the image could not be pushed (exit code {code})"
            raise self._failure(what, lines, _PUSH_HINTS, ControlPlaneFailure)
        return str(digests[-1])

    @contextmanager
    def _logged_in(self, registry: Registry) -> Iterator[tuple[list[str], dict[str, str]]]:
        """Yield the options and variables under which `docker` may push; the password is gone afterwards.

        The user's own contexts are still known, so that it is the same engine.
        """
        environ = dict(os.environ)
        if "DOCKER_HOST" not in environ:
            context = self._capture(["context", "show"])
            if context.returncode == 0:
                environ["DOCKER_CONTEXT"] = context.stdout.decode().strip()
        with tempfile.TemporaryDirectory(prefix="multinode-docker-") as folder:
            own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
            if (own / "contexts").is_dir():
                Path(folder, "contexts").symlink_to((own / "contexts").absolute())
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

    def _run(self, arguments: Sequence[str], title: str, environ: Mapping[str, str]) -> tuple[int, list[str]]:
        command = [self._program, *arguments]
        return run_shown(command, title, self._terminal, keep=LAST_LINES, env=environ, hidden=_NOT_SHOWN)

    def _failure(
        self, what: str, lines: Sequence[str], hints: Sequence[_Hint], otherwise: type[CliFailure]
    ) -> CliFailure:
        """Return the failure of a `docker` that wrote `lines`: the message includes them unless they were passed on."""
        text = "\n".join(lines)
        hint = next((hint for hint in hints if re.search(hint.pattern, text, re.IGNORECASE)), None)
        said = "".join(f"\n  {line}" for line in lines) if self._terminal.animated else ""
        advice = "" if hint is None else f"\n{hint.advice}"
        return (hint.kind if hint else otherwise)(f"{what}{':' if said else '; see above'}{said}{advice}")


def _last_line(output: bytes) -> str:
    lines = [line for line in clean(output.decode("utf-8", "replace")).splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else "no output"
