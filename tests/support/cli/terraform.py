"""A ``terraform`` that does what a test has written down, in the JSON messages of the real one.

As a program it reads ``scenario.json`` beside itself, and appends each call to ``calls.jsonl``.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

ERROR = {
    "severity": "error",
    "summary": "creating Lambda Function",
    "detail": "AccessDenied: User: arn:aws:iam::1:user/ada is not authorized to perform: iam:PassRole",
    "address": "module.multinode.module.api.aws_lambda_function.this",
}


class FakeTerraform:
    """By default it is recent, has something to add, and everything succeeds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        program = folder / "terraform"
        program.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
        program.chmod(0o755)
        self._scenario: dict[str, Any] = {}
        self.does()

    def does(self, **changes: Any) -> None:
        """Change the scenario: the names are those of `main`'s own, where they have their defaults."""
        self._scenario |= changes
        (self.folder / "scenario.json").write_text(json.dumps(self._scenario))

    def calls(self) -> list[list[str]]:
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def commands(self) -> list[str]:
        """Return the calls in short: ``init``, ``plan``, ``plan -destroy``, ``apply``, ``state list``."""
        return [
            " ".join(
                [
                    *(word for word in call[:2] if not word.startswith("-") and "/" not in word),
                    *("-destroy" for word in call if word == "-destroy=true"),
                ]
            )
            for call in self.calls()
            if call[0] != "version"
        ]


def say(kind: str, message: str = "", **fields: Any) -> None:
    sys.stdout.write(json.dumps({"@level": "info", "@message": message, "type": kind, **fields}) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    folder = Path(__file__).parent
    scenario = {
        "version": "1.11.4",
        "add": 2,
        "change": 0,
        "remove": 0,
        "lost": [],
        "tainted": [],
        "fails": [],
        "errors": [ERROR],
        "listed": [],
        "waits_for_interrupt": False,
    } | json.loads((folder / "scenario.json").read_text())
    with (folder / "calls.jsonl").open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    command = arguments[0]
    if command == "version":
        sys.stdout.write(json.dumps({"terraform_version": scenario["version"]}) if scenario["version"] else "what?")
        return 0
    if command == "init":
        sys.stdout.write("Initializing the backend...\n")
        return _end("init", scenario)
    if command == "untaint":
        (folder / f"untainted {arguments[-1]}").touch()
        return 0
    if command == "state":
        sys.stdout.write("".join(f"{address}\n" for address in scenario["listed"]))
        return 0
    if command == "plan":
        for address in scenario["lost"]:
            say("planned_change", change={"action": "replace", "resource": {"addr": address}})
        for address in scenario["tainted"]:
            if (folder / f"untainted {address}").exists():
                continue
            say("planned_change", change={"action": "replace", "reason": "tainted", "resource": {"addr": address}})
        counts = {name: scenario[name] for name in ("add", "change", "remove")}
        if "-destroy=true" in arguments:
            counts = {"add": 0, "change": 0, "remove": scenario["add"]}
        say("change_summary", changes=counts)
        return _end("plan", scenario)
    say("apply_start", "module.multinode.aws_dynamodb_table.state: Creating...")
    say("apply_complete", "module.multinode.aws_dynamodb_table.state: Creation complete after 2s")
    if scenario["waits_for_interrupt"]:
        _wait_for_interrupt()
        return 1
    return _end("apply", scenario)


def _end(command: str, scenario: dict[str, Any]) -> int:
    if command not in scenario["fails"]:
        return 0
    if command == "init":
        sys.stdout.write("Error: Failed to query available provider packages\n")
        return 1
    for error in scenario["errors"]:
        say("diagnostic", f"Error: {error['summary']}", diagnostic=error)
    return 1


def _wait_for_interrupt() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    say("log", "waiting")
    folder, deadline = Path(__file__).parent, time.monotonic() + 300
    while not (folder / "go on").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    say("log", "Interrupt received")
    (Path(__file__).parent / "interrupts").write_text(str(len(heard)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
