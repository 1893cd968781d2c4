"""① Functions' schedules on AWS: one schedule of EventBridge Scheduler per function, in the deployment's own group.

They are made after the version is registered and call the deployment's trigger, which starts the newest version's
function: a schedule that a deploy leaves as it is needs no change. What they send is the event of the control plane's
trigger (`adapters/aws/trigger_events.py` there); Scheduler puts its own ARN and the time in, so that whatever it sends
twice starts one invocation.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from multinode_cli.backends.aws.account import aws_errors
from multinode_cli.errors import ControlPlaneFailure
from multinode_protocol.cron import parse
from multinode_protocol.messages import FunctionInfo, FunctionSpec
from multinode_protocol.schedules import Schedule, next_run, schedule_of, schedule_text

__all__ = [
    "SchedulePlan",
    "ScheduleChanges",
    "Scheduler",
    "apply_schedules",
    "aws_expression",
    "delete_schedules",
    "schedule_arguments",
    "schedule_name",
    "schedule_names",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEDULE_ARN, SCHEDULED_TIME = "<aws.scheduler.schedule-arn>", "<aws.scheduler.scheduled-time>"
"""Scheduler writes what they stand for in their place (User Guide, "Adding context attributes")."""
RETRIES, RETRIED_FOR_S = 185, 6 * 3600
"""How long a call that the trigger's Lambda does not take is tried again; then it is a dead letter."""
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MAX_PROJECT_PART, MAX_FUNCTION_PART, HASH_CHARS = 32, 30, 12


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Where the deployment's schedules are and what they call, from its parameter in SSM."""

    group: str
    role_arn: str
    function_arn: str
    dead_letter_arn: str

    @classmethod
    def of(cls, deployment: Mapping[str, Any]) -> "Scheduler":
        """Return it of the JSON that Terraform wrote. Raises ControlPlaneFailure when that has none."""
        try:
            schedules, trigger = deployment["schedules"], deployment["trigger"]
            return cls(schedules["group"], schedules["role_arn"], trigger["function_arn"], trigger["dead_letter_arn"])
        except (KeyError, TypeError) as error:
            raise ControlPlaneFailure(
                f"the deployment {deployment.get('name')} was installed by a Multinode that knew no schedules (its "
                f"parameter lacks {error}): run `multinode install` or `terraform apply` again"
            ) from error

    @classmethod
    def where_there_is_one(cls, deployment: Mapping[str, Any]) -> "Scheduler | None":
        """Return it; None for a deployment that cannot have schedules."""
        return cls.of(deployment) if "schedules" in deployment else None


@dataclass(frozen=True, slots=True)
class ScheduleChanges:
    """Names of functions by what was done with their schedules; the names of schedules for those that were deleted."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """One function's schedule: `arguments` are those of CreateSchedule and UpdateSchedule."""

    function_name: str
    schedule: Schedule
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.arguments["Name"])

    def is_kept_by(self, found: Mapping[str, Any]) -> bool:
        """True when a schedule as GetSchedule gives it needs no change; an interval may begin at any of its steps."""
        if any(found.get(key) != value for key, value in self.arguments.items() if key != "StartDate"):
            return False
        if self.schedule.every_s is None:
            return True
        start = found.get("StartDate")
        interval = timedelta(seconds=self.schedule.every_s)
        return start is not None and (start - EPOCH) % interval == timedelta(0)


# --- what there shall be: pure ----------------------------------------------------------------------------------------


def schedule_arguments(
    functions: Sequence[FunctionSpec] | Sequence[FunctionInfo],
    *,
    project_name: str,
    scheduler: Scheduler,
    now: datetime,
) -> list[SchedulePlan]:
    """Return the schedule of each function that has one. Raises ScheduleError."""
    plans = []
    for function in functions:
        spec = function.get("schedule")
        if spec is not None:
            schedule = schedule_of(spec)
            arguments = _arguments(schedule, project_name, function["function_name"], scheduler)
            if schedule.every_s is not None:
                arguments["StartDate"] = next_run(schedule, now)
            plans.append(SchedulePlan(function["function_name"], schedule, arguments))
    return plans


def _arguments(schedule: Schedule, project_name: str, function_name: str, scheduler: Scheduler) -> dict[str, Any]:
    event = {
        "multinode": {
            "project_name": project_name,
            "version_id": "latest",
            "function_name": function_name,
            "fixed_arguments": {},
            "arguments_from_event": {},
        },
        "source": SCHEDULE_ARN,
        "event": {"id": SCHEDULED_TIME, "time": SCHEDULED_TIME},
    }
    return {
        "Name": schedule_name(project_name, function_name),
        "GroupName": scheduler.group,
        "Description": f"Multinode {project_name}/{function_name}: {schedule_text(schedule)}",
        "ScheduleExpression": aws_expression(schedule),
        "ScheduleExpressionTimezone": schedule.timezone,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
        "Target": {
            "Arn": scheduler.function_arn,
            "RoleArn": scheduler.role_arn,
            "Input": json.dumps(event, separators=(",", ":")),
            "DeadLetterConfig": {"Arn": scheduler.dead_letter_arn},
            "RetryPolicy": {"MaximumEventAgeInSeconds": RETRIED_FOR_S, "MaximumRetryAttempts": RETRIES},
        },
    }


def schedule_name(project_name: str, function_name: str) -> str:
    """Return ``<project>.<function>``, at most 64 characters as Scheduler allows: longer names end in a hash."""
    function = function_name
    if len(function) > MAX_FUNCTION_PART:
        function = f"{function[: MAX_FUNCTION_PART - HASH_CHARS - 1]}-{_hash(function)}"
    return f"{_project_part(project_name)}.{function}"


def _project_part(project_name: str) -> str:
    """Return what all names of the project's schedules have before the last dot, and those of no other project."""
    if len(project_name) <= MAX_PROJECT_PART:
        return project_name
    return f"{project_name[: MAX_PROJECT_PART - HASH_CHARS]}.{_hash(project_name)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARS]


def aws_expression(schedule: Schedule) -> str:
    """Return Scheduler's expression for a valid schedule: ``cron(0 9 ? * MON-FRI *)``, ``rate(90 minutes)``.

    Its cron has a year as sixth field, counts weekdays from SUN, 1, and wants ``?`` for one of the two day fields (User
    Guide, "Schedule types"). So fields are written anew from the numbers they stand for, weekdays and months by name.
    """
    if schedule.every_s is not None:
        for unit, unit_s in (("days", 86_400), ("hours", 3600)):
            if schedule.every_s % unit_s == 0:
                return f"rate({schedule.every_s // unit_s} {unit})"
        return f"rate({schedule.every_s // 60} minutes)"
    fields = parse(schedule.cron or "")
    minutes = _field(fields.minutes, range(60))
    hours = _field(fields.hours, range(24))
    months = _field(fields.months, range(1, 13), MONTHS)
    weekdays = _field(fields.weekdays, range(7), WEEKDAYS)
    days = _field(fields.days, range(1, 32)) if weekdays == "*" else "?"
    return f"cron({minutes} {hours} {days} {months} {'?' if weekdays == '*' else weekdays} *)"


def _field(numbers: Sequence[int], every: range, names: Sequence[str] = ()) -> str:
    """Return ascending numbers as a list of ranges, or ``*`` for all."""
    if len(numbers) == len(every):
        return "*"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])

    def text(number: int) -> str:
        return names[number - every[0]] if names else str(number)

    parts = [
        f"{text(run[0])}-{text(run[-1])}" if len(run) > 2 else ",".join(text(number) for number in run) for run in runs
    ]
    return ",".join(parts)


# --- making it so -----------------------------------------------------------------------------------------------------


def apply_schedules(
    client: Any,
    scheduler: Scheduler,
    project_name: str,
    functions: Sequence[FunctionSpec] | Sequence[FunctionInfo],
    *,
    now: datetime,
) -> ScheduleChanges:
    """Make the project's schedules those of `functions` and no others; `client` is that of ``scheduler``.

    `functions` are those of the newest version, read after one was registered: of two deploys at once, both apply the
    same ones then. Running it again changes nothing; cut short, it is finished by being run again.

    Raises ControlPlaneFailure.
    """
    plans = schedule_arguments(functions, project_name=project_name, scheduler=scheduler, now=now)
    there = set(schedule_names(client, scheduler, project_name))
    done: dict[str, list[str]] = {"created": [], "updated": [], "kept": []}
    for plan in plans:
        with aws_errors(f"making the schedule of {plan.function_name}"):
            done[_make(client, plan, exists=plan.name in there)].append(plan.function_name)
    gone = sorted(there - {plan.name for plan in plans})
    delete_schedules(client, scheduler, gone)
    return ScheduleChanges(
        **{what: tuple(names) for what, names in done.items()},
        deleted=tuple(gone),
    )


def schedule_names(client: Any, scheduler: Scheduler, project_name: str | None) -> list[str]:
    """Return the names of a project's schedules, sorted; with None, of all projects'. Raises ControlPlaneFailure."""
    part = None if project_name is None else _project_part(project_name)
    prefix = {} if part is None else {"NamePrefix": f"{part}."}
    with aws_errors("looking for schedules"):
        pages = client.get_paginator("list_schedules").paginate(GroupName=scheduler.group, **prefix)
        names = {schedule["Name"] for page in pages for schedule in page["Schedules"]}
    # A longer project's part may begin with a shorter one's.
    return sorted(name for name in names if part in (None, name.rpartition(".")[0]))


def _make(client: Any, plan: SchedulePlan, *, exists: bool) -> str:
    """Create or update one schedule, whoever else is at it; return which."""
    if not exists:
        try:
            client.create_schedule(**plan.arguments)
        except client.exceptions.ConflictException:
            pass
        else:
            return "created"
    try:
        found = client.get_schedule(Name=plan.name, GroupName=plan.arguments["GroupName"])
        if plan.is_kept_by(found):
            return "kept"
        client.update_schedule(**plan.arguments)
    except client.exceptions.ResourceNotFoundException:
        client.create_schedule(**plan.arguments)
        return "created"
    return "updated"


def delete_schedules(client: Any, scheduler: Scheduler, names: Sequence[str]) -> None:
    """Delete schedules; those that are gone are no error. Raises ControlPlaneFailure."""
    for name in names:
        with aws_errors(f"deleting the schedule {name}"):
            try:
                client.delete_schedule(Name=name, GroupName=scheduler.group)
            except client.exceptions.ResourceNotFoundException:
                continue
