"""The ``terraform`` of the user's PATH, run in one folder: its JSON messages as progress, its errors in one message.

python-terraform builds the command lines. The process is started here, since it may take minutes: its output is read as
it comes, and Ctrl-C stops it only where nothing is lost: what a stopped apply was creating may come to exist without
Terraform's knowledge.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multinode_cli.backends.aws.account import packages_missing
from multinode_cli.console.programs import lines_of, running
from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import clean, one_line
from multinode_cli.errors import ControlPlaneFailure

OLDEST = (1, 11)
"""The first with write-only arguments: the module's secrets never enter the state."""
GET_IT = "install 1.11 or later (https://developer.hashicorp.com/terraform/install), then run the same command again"
LAST_LINES = 15
NOT_INHERITED = ("TF_WORKSPACE", "TF_DATA_DIR", "TF_LOG_PATH")
"""And TF_CLI_ARGS…: they would change the command."""
ERRORS_SHOWN = 5
DETAIL_LINES = 6
DESTRUCTIVE = ("delete", "replace")
NEVER_FINISHED = "tainted"
"""Why an apply would replace what an interrupted one left half-made: it is still empty."""

FINISHING = "Finishing first, so that nothing is left half-made; press Ctrl-C again to stop anyway"
STOPPING = "Stopping: waiting for Terraform to finish what it has started and record it"
EXISTS = re.compile(r"already ?exists|Duplicate|ResourceInUse", re.IGNORECASE)
NAMED = re.compile(r"^creating [^(]*\((?P<name>[^)]+)\)")
"""How the provider says what it was creating."""
IMPORTED_BY_NAME = (
    "aws_cloudwatch_log_group",
    "aws_dynamodb_table",
    "aws_ecr_repository",
    "aws_iam_role",
    "aws_lambda_function",
    "aws_scheduler_schedule_group",
    "aws_ssm_parameter",
)

Message = dict[str, Any]


@dataclass
class TerraformPlan:
    """What an apply would do. `lost`: addresses of what it would delete, or replace with something empty.

    `half_made`: addresses of what an interrupted apply had only started, and this one would replace.
    """

    add: int = 0
    change: int = 0
    remove: int = 0
    lost: list[str] = field(default_factory=list)
    half_made: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.add or self.change or self.remove)


def found_version() -> tuple[str, str]:
    """Return path and version of the PATH's `terraform`. Raises ControlPlaneFailure if it is missing or too old."""
    program = shutil.which("terraform")
    if program is None:
        raise ControlPlaneFailure(f"there is no `terraform` on the PATH: {GET_IT}")
    answer = subprocess.run([program, "version", "-json"], capture_output=True, check=False, env=_environment())
    try:
        version = str(json.loads(answer.stdout)["terraform_version"])
    except (ValueError, KeyError, TypeError):
        said = one_line((answer.stderr or answer.stdout).decode("utf-8", "replace"), 200)
        raise ControlPlaneFailure(f"{program} does not report its version ({said or 'no output'}): {GET_IT}") from None
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise ControlPlaneFailure(f"Terraform {one_line(version, 40)} is too old, at {program}: {GET_IT}")
    return program, version


class TerraformProgram:
    """Terraform in the root module of `folder`. Its output is stored in ``<folder>/terraform.log``."""

    def __init__(self, program: str, folder: Path, terminal: Terminal) -> None:
        """Raises ControlPlaneFailure without python-terraform."""
        try:
            from python_terraform import Terraform
        except ImportError as error:
            raise packages_missing() from error
        self._commands = Terraform(working_dir=str(folder), terraform_bin_path=program)
        self._folder = folder
        self._terminal = terminal

    def init(self) -> None:
        """Fetch the provider and connect the state."""
        last: deque[str] = deque(maxlen=LAST_LINES)
        now = "Preparing Terraform"

        def line(text: str) -> None:
            nonlocal now
            last.append(text)
            now = f"Preparing Terraform  {one_line(text)}"

        with self._terminal.live(lambda: now):
            code = self._run(self._command("init"), line)
        if code != 0:
            raise self._failure("terraform init failed", "".join(f"\n  {text}" for text in last))

    def push_state(self, file: Path) -> None:
        """Store the state that an apply could not store."""
        self._plain("state push", str(file))

    def addresses(self) -> list[str]:
        """Return the addresses of everything in the state."""
        return self._plain("state list")

    def keep(self, address: str) -> None:
        """Have the next plan continue with what an interrupted apply left half-made, instead of replacing it."""
        self._plain("untaint", address)

    def plan(self, file: Path, *, destroy: bool = False, targets: tuple[str, ...] = ()) -> TerraformPlan:
        """Write the plan to `file`, and return a summary."""
        found = TerraformPlan()
        titles = {"refresh_start": "Looking at what exists", "planned_change": "Planning"}

        def message(each: Message) -> None:
            if each["type"] == "planned_change":
                change = each["change"]
                if change["action"] in DESTRUCTIVE:
                    of_these = found.half_made if change.get("reason") == NEVER_FINISHED else found.lost
                    of_these.append(change["resource"]["addr"])
            elif each["type"] == "change_summary":
                changes = each["changes"]
                found.add, found.change, found.remove = changes["add"], changes["change"], changes["remove"]

        options: dict[str, Any] = {"out": str(file), "target": list(targets), "destroy": True if destroy else None}
        self._json(self._command("plan", **options), titles, message)
        return found

    def apply(self, file: Path, plan: TerraformPlan, title: str) -> None:
        """Carry out the plan in `file`, showing its progress."""
        total, done = plan.add + plan.change + plan.remove, 0

        def message(each: Message) -> None:
            nonlocal done
            if each["type"] == "apply_complete":
                done += 1
                if not self._terminal.animated:
                    self._terminal.message(f"  {one_line(each['@message'])}")

        def text(each: Message) -> str:
            return f"{title}: {done} of {total}  {one_line(each['@message'])}"

        self._json(
            self._command("apply", str(file)),
            {"apply_start": text, "apply_progress": text, "apply_complete": text},
            message,
            to_the_end=True,
        )

    # --- running it ---

    def _command(self, name: str, *arguments: str, **options: Any) -> list[str]:
        from python_terraform import IsFlagged

        given = {"input": False, "no-color": IsFlagged, **options}
        if name in ("plan", "apply"):
            given["json"] = IsFlagged
        if name == "untaint" or name.startswith("state"):
            del given["input"], given["no-color"]
        command: list[str] = self._commands.generate_cmd_string(name, *arguments, **given)
        return command

    def _plain(self, name: str, *arguments: str) -> list[str]:
        """Run a command without JSON output and return its lines."""
        lines: list[str] = []
        if self._run(self._command(name, *arguments), lines.append) != 0:
            last = "".join(f"\n  {text}" for text in lines[-LAST_LINES:])
            raise self._failure(f"terraform {name} failed", last)
        return lines

    def _json(
        self,
        command: list[str],
        titles: Mapping[str, str | Callable[[Message], str]],
        message: Callable[[Message], None],
        *,
        to_the_end: bool = False,
    ) -> None:
        """Run a command that writes JSON; its errors become one failure."""
        errors: list[Message] = []
        others: deque[str] = deque(maxlen=LAST_LINES)
        now = "Terraform"

        def line(text: str) -> None:
            nonlocal now
            try:
                each = json.loads(text)
                kind = each["type"]
            except (ValueError, KeyError, TypeError):
                others.append(text)
                return
            message(each)
            title = titles.get(kind)
            if title is not None:
                now = title if isinstance(title, str) else title(each)
            if kind == "diagnostic" and each["diagnostic"]["severity"] == "error":
                errors.append(each["diagnostic"])

        with self._terminal.live(lambda: now):
            code = self._run(command, line, to_the_end=to_the_end)
        if code != 0 or errors:
            said = "".join(f"\n{_error_text(error)}" for error in errors[:ERRORS_SHOWN])
            if not errors:
                said = "".join(f"\n  {text}" for text in others)
            raise self._failure(f"terraform {command[1]} failed", said, errors)

    def _run(self, command: list[str], line: Callable[[str], None], *, to_the_end: bool = False) -> int:
        """Run `command` to its end, passing each line of its output to `line`; return its exit code.

        At Ctrl-C it is asked once to stop and waited for: if killed, it could not record what it has created. With
        `to_the_end` it is only asked at the second Ctrl-C.
        """
        with (
            (self._folder / "terraform.log").open("a", encoding="utf-8", buffering=1) as log,
            running(command, cwd=self._folder, env=_environment(), own_group=True) as process,
            _interruptions(process, asked_at=2 if to_the_end else 1) as interruptions,
        ):
            told = 0
            for text in lines_of(process):
                if told < interruptions.count:
                    told = interruptions.count
                    self._terminal.message(FINISHING if to_the_end and told == 1 else STOPPING)
                log.write(text)
                if cleaned := clean(text).rstrip():
                    line(cleaned)
            process.wait()
        if interruptions.count:
            raise KeyboardInterrupt
        return process.returncode

    def _failure(self, what: str, said: str, errors: list[Message] | None = None) -> ControlPlaneFailure:
        advice = "What was created is recorded: fix the cause and run the same command again"
        taken = [
            _to_import(error) for error in errors or [] if EXISTS.search(f"{error['summary']} {error.get('detail')}")
        ]
        if taken:
            commands = "".join(f"\n  terraform -chdir={self._folder} import {arguments}" for arguments in taken)
            advice = (
                "What already exists may have been created by a run that was stopped midway. If nobody else created "
                f"it, import it into Terraform, then run the same command again:{commands}\n"
                "What was created now is recorded"
            )
        if any("state lock" in str(error.get("summary")) for error in errors or []) or "state lock" in said:
            advice = (
                "Another install or uninstall of this deployment is running; wait for it. If none is (it was killed), "
                f"release the lock with its ID: terraform -chdir={self._folder} force-unlock ID"
            )
        return ControlPlaneFailure(f"{what}:{said}\n{advice}. Its output: {self._folder / 'terraform.log'}")


@dataclass
class _Interruptions:
    """How often Ctrl-C was pressed."""

    count: int = 0


@contextmanager
def _interruptions(process: "subprocess.Popen[str]", *, asked_at: int) -> Iterator[_Interruptions]:
    """Count every Ctrl-C of the block; at the one with the number `asked_at`, `process` gets its one SIGINT."""
    interruptions = _Interruptions()

    def interrupt(_number: int, _frame: object) -> None:
        interruptions.count += 1
        if interruptions.count == asked_at:
            process.send_signal(signal.SIGINT)

    try:
        before = signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not the main thread, where no Ctrl-C arrives
        yield interruptions
        return
    try:
        yield interruptions
    finally:
        signal.signal(signal.SIGINT, before)


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in NOT_INHERITED and not name.startswith("TF_CLI_ARGS")
    }
    return {**kept, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}


def _to_import(error: Message) -> str:
    """Return the arguments with which `terraform import` takes over what could not be created because it exists."""
    address = str(error.get("address") or "ADDRESS")
    named = NAMED.search(str(error["summary"]))
    by_name = named is not None and any(f"{kind}." in address for kind in IMPORTED_BY_NAME)
    return shlex.join([address, one_line(named["name"]) if named is not None and by_name else "ID"])


def _error_text(error: Message) -> str:
    """Return one of Terraform's errors, indented: the resource, what went wrong, and the first details."""
    address = f"{error['address']}: " if error.get("address") else ""
    details = [line for line in clean(str(error.get("detail") or "")).splitlines() if line.strip()]
    shown = "".join(f"\n    {line}" for line in details[:DETAIL_LINES])
    return f"  {address}{one_line(str(error.get('summary', 'an error')))}{shown}"
