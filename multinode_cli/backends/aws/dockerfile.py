"""The Dockerfile of a version, and the folder from which it is built.

Beside ``main.py`` and ``requirements.txt``, the project's folder may contain ``packages.txt`` (Debian packages, one a
line) and ``Dockerfile.fragment`` (instructions after the base image). ``.env`` is never in the image.
"""

import importlib.metadata
import re
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from multinode_cli.console.text import one_line
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.requirements import Requirements
from multinode_cli.project.resources import package_folder
from multinode_cli.project.runtime_copy import copy_runtime

PACKAGES_FILE = "packages.txt"
FRAGMENT_FILE = "Dockerfile.fragment"
MAX_FRAGMENT_CHARS = 20_000
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_FORBIDDEN_INSTRUCTIONS = ("FROM", "ENTRYPOINT", "CMD")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What distinguishes one project's image from another's, apart from the code."""

    base_image: str
    apt_packages: tuple[str, ...] = ()
    fragment: str = ""
    has_requirements: bool = False


def default_base_image() -> str:
    """Return the official image of the Python that runs the CLI: arguments and results are pickled on both sides."""
    return f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def read_image_spec(code_dir: Path, *, base_image: str | None, has_requirements: bool) -> ImageSpec:
    """Return the spec of the project in `code_dir`. Raises UsageFailure for a name or line that cannot be used."""
    image = default_base_image() if base_image is None else base_image
    if not _IMAGE.fullmatch(image):
        raise UsageFailure(
            f"--base-image: {one_line(image, 80)!r} is not the name of an image, such as python:3.11-slim"
        )
    return ImageSpec(image, _packages(code_dir / PACKAGES_FILE), _fragment(code_dir / FRAGMENT_FILE), has_requirements)


def _packages(path: Path) -> tuple[str, ...]:
    found: list[str] = []
    for number, line in enumerate(_lines(path), 1):
        name = line.split("#", 1)[0].strip()
        if not name:
            continue
        if not _PACKAGE.fullmatch(name):
            raise UsageFailure(
                f"{PACKAGES_FILE}, line {number}: {one_line(name, 80)!r} is not the name of a Debian package; "
                "write one name a line"
            )
        found.append(name)
    return tuple(dict.fromkeys(found))


def _fragment(path: Path) -> str:
    lines = _lines(path)
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=1)
        if words and words[0].upper() in _FORBIDDEN_INSTRUCTIONS:
            raise UsageFailure(
                f"{FRAGMENT_FILE}, line {number}: {words[0]} is set by Multinode; choose a base with --base-image"
            )
    text = "\n".join(lines).strip()
    if len(text) > MAX_FRAGMENT_CHARS:
        raise UsageFailure(
            f"{FRAGMENT_FILE} has {len(text):,} characters; at most {MAX_FRAGMENT_CHARS:,} are allowed. Build a base "
            "image of your own and name it with --base-image"
        )
    return text


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file of the project, whatever its line endings; none without such a file."""
    if not path.is_file():
        return []
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageFailure(f"{path.name} is not UTF-8 text: save it as UTF-8 and deploy again") from error


def render(spec: ImageSpec) -> str:
    """Return the Dockerfile's text."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - a Dockerfile is not HTML; values are validated above
    )
    return environment.from_string(_template("Dockerfile.j2")).render(
        multinode_version=importlib.metadata.version("multinode"),
        base_image=spec.base_image,
        apt_packages=spec.apt_packages,
        fragment=spec.fragment,
        has_requirements=spec.has_requirements,
    )


def _template(name: str) -> str:
    return (package_folder("multinode_templates") / name).read_text(encoding="utf-8")


def write_context(folder: Path, spec: ImageSpec, code_dir: Path, requirements: Requirements | None) -> None:
    """Fill the empty `folder` with the Dockerfile and everything that it copies. Raises ControlPlaneFailure."""
    try:
        (folder / "Dockerfile").write_text(render(spec), encoding="utf-8")
        copy_runtime(folder / "runtime", folder / "fallback")
        (folder / "runtime" / "link_runtime.py").write_text(_template("link_runtime.py"), encoding="utf-8")
        if requirements is not None:
            _write_requirements(folder / "requirements", code_dir, requirements)
        shutil.copytree(code_dir, folder / "code", symlinks=True)
        _open_to_all(folder)
    except (OSError, shutil.Error) as error:
        raise ControlPlaneFailure(f"what the image is built from cannot be written to {folder}: {error}") from error


def _write_requirements(folder: Path, code_dir: Path, requirements: Requirements) -> None:
    if requirements.names_files:
        shutil.copytree(code_dir, folder, symlinks=True)
    else:
        folder.mkdir()
    (folder / "requirements.txt").write_text(requirements.text, encoding="utf-8")
    (folder / "constraints.txt").write_text(requirements.constraints, encoding="utf-8")


def _open_to_all(folder: Path) -> None:
    """Let every user read what is below `folder`, whatever the umask: the worker is not its owner."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if executable else 0o644)
