"""A ``docker`` that does nothing but what a test has written down: what it says, and how it ends.

As a program it reads ``scenario.json`` beside itself, and appends each call to ``calls.jsonl``.
"""

import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIGEST = "sha256:" + "d" * 64
IMAGE_ID = "sha256:" + "1" * 64
FUNCTION = {
    "function_name": "add",
    "docker_image_override": None,
    "resource_spec": {"virtual_cpus": 0.25, "memory_gbs": 0.5, "max_concurrency": 10},
    "execution_spec": {"max_retries": 0, "timeout_seconds": 3600},
    "description": "Add.",
    "signature": ["a", "b"],
}
REPORT = {"functions": [FUNCTION], "python": "3.11.7", "multinode": "2.0.0"}
PUSHED = ["The push refers to repository [registry]", "5f70bf18a086: Pushed", f"tag: digest: {DIGEST} size: 1365"]


@dataclass(frozen=True)
class Said:
    """What a subcommand prints, and its exit code."""

    lines: list[str]
    code: int = 0


class FakeDocker:
    """The scenario of the next calls, and the calls so far. By default everything succeeds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        program = folder / "docker"
        program.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
        program.chmod(0o755)
        self._scenario: dict[str, Any] = {"report": REPORT, "architecture": "amd64", "image_id": IMAGE_ID}
        self._save()

    def says(self, **subcommands: Said) -> None:
        """Set what subcommands print, as in ``says(build=Said(["no space left on device"], 1))``."""
        said = {name: {"lines": said.lines, "code": said.code} for name, said in subcommands.items()}
        self._scenario = {**self._scenario, **said}
        self._save()

    def finds(self, report: Mapping[str, Any] | None) -> None:
        """Set what importing ``main.py`` in the image comes to."""
        self._scenario["report"] = report
        self._save()

    def builds(self, *, architecture: str = "amd64", image_id: str = IMAGE_ID) -> None:
        self._scenario |= {"architecture": architecture, "image_id": image_id}
        self._save()

    def calls(self, subcommand: str | None = None) -> list[dict[str, Any]]:
        """Return the calls so far, each with ``arguments``, ``stdin`` (of a login) and the ``files`` of a build."""
        path = self.folder / "calls.jsonl"
        every = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [call for call in every if subcommand in (None, call["subcommand"])]

    def pushed(self) -> dict[str, str]:
        """Return the tags that were pushed, with their digests."""
        return {
            call["arguments"][-1].rpartition(":")[2]: call["digest"]
            for call in self.calls("push")
            if call["digest"] is not None
        }

    def _save(self) -> None:
        (self.folder / "scenario.json").write_text(json.dumps(self._scenario))


def main(arguments: list[str]) -> int:
    folder = Path(__file__).parent
    scenario = json.loads((folder / "scenario.json").read_text())
    words = arguments[2:] if arguments[0] == "--config" else arguments
    subcommand = words[0]
    default = {"push": PUSHED, "version": ["28.0.1"], "create": ["c0ffee"], "context": ["default"]}.get(subcommand, [])
    said = scenario.get(subcommand, {"lines": default, "code": 0})
    call: dict[str, Any] = {
        "subcommand": subcommand,
        "arguments": words,
        "config": arguments[: len(arguments) - len(words)],
    }
    if subcommand == "login":
        call["stdin"] = sys.stdin.read()
    if subcommand == "build":
        call["files"] = _files(Path(words[-1]))
        call["dockerfile"] = Path(words[-1], "Dockerfile").read_text()
        if said["code"] == 0:
            Path(words[words.index("--iidfile") + 1]).write_text(scenario["image_id"])
    if subcommand == "create":
        names = [words[number + 1] for number, word in enumerate(words) if word == "--env"]
        call["environment"] = {name: os.environ[name] for name in names}
    if subcommand == "push":
        digests = [word for line in said["lines"] for word in line.split() if word.startswith("sha256:")]
        call["digest"] = digests[0] if digests and said["code"] == 0 else None
    with (folder / "calls.jsonl").open("a") as log:
        log.write(json.dumps(call) + "\n")
    if subcommand == "image":
        sys.stdout.write(json.dumps([{"Architecture": scenario["architecture"]}]))
    elif subcommand == "cp":
        if scenario["report"] is None:
            sys.stderr.write("Could not find the file\n")
            return 1
        _write_tar(json.dumps(scenario["report"]).encode())
    stream = sys.stderr if said["code"] and subcommand not in ("build", "push", "start") else sys.stdout
    stream.write("".join(f"{line}\n" for line in said["lines"]))
    return int(said["code"])


def _files(context: Path) -> dict[str, str]:
    """Return the files of a build context with their modes, as octal text."""
    return {
        path.relative_to(context).as_posix(): oct(path.stat().st_mode & 0o777)
        for path in sorted(context.rglob("*"))
        if not path.is_symlink()
    }


def _write_tar(content: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("multinode-functions.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    shutil.copyfileobj(buffer, sys.stdout.buffer)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
