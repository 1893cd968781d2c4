"""How an ECS task ended, from the format that task events and `DescribeTasks` share. Pure functions.

Sources: the ECS developer guide ("Stopped tasks error codes", "Resource initialization errors", "Task state change
events") and the stop codes of the service model. AWS promises none of this: containers may be missing, an exit code may
be absent, a task killed for memory may have exit code 0. So texts are matched as well as codes, the worker's container
is found by its name, and an unknown ending counts as the platform's failure, never as the user's.
"""

import re
from collections.abc import Mapping, Sequence
from typing import cast

from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import WorkerDetails
from multinode_protocol import env_vars
from multinode_protocol.ecs_task import CONTAINER_NAME, LOG_STREAM_PREFIX

Task = Mapping[str, object]
"""The `detail` of a task event, or a task from `DescribeTasks`."""

STOP_REASON_PREFIX = "multinode: "
"""How the reason of every stop that we request begins. Any other stop came from outside."""
WORKER_TYPE = "AWS_ECS"
REASON_CHARS = 600
EXECUTION_PREFIX = "exe-"
SIGKILL_EXIT_CODE = 137

_TASK_ARN = re.compile(r"arn:[a-z-]+:ecs:[a-z0-9-]+:\d{12}:task/([\w-]+/)?[0-9a-f-]{32,36}")
_SPOT_STOP_CODES = ("SpotInterruption", "TerminationNotice")
_SPOT_TEXT = re.compile(r"^your spot task was interrupted", re.IGNORECASE)
_OUT_OF_MEMORY_TEXT = re.compile(r"^OutOfMemory|killed due to memory usage", re.IGNORECASE)
_START_FAILED_TEXT = re.compile(
    r"^(CannotPull|CannotStart|CannotCreate|ResourceInitializationError|ResourceNotFoundException"
    r"|Timeout waiting for (network interface|EphemeralStorage) provisioning|TaskFailedToStart)",
    re.IGNORECASE,
)
_PASSING_TEXT = re.compile(
    r"i/o timeout|TLS handshake timeout|context deadline exceeded|connection (timed out|reset|refused)|signal: killed"
    r"|toomanyrequests|rate exceeded|throttl|request send failed|send request failed|temporar|\b50[0234]\b",
    re.IGNORECASE,
)
"""Failures that pass, whatever else the text says."""
_LASTING_TEXT = re.compile(
    r"not found|does not exist|manifest unknown|access denied|AccessDenied|not authorized|no basic auth|unauthorized"
    r"|no match for platform|does not match the specified platform|exec format error|invalid reference"
    r"|no space left|ParameterNotFound|invalid ssm parameters|ResourceNotFoundException|failed to validate logger"
    r"|permission denied|no such file",
    re.IGNORECASE,
)
"""Failures that another try would meet again: the list of permanent ones."""


def worker_of(task_arn: str) -> WorkerDetails:
    """Return the container of a task; its log stream is ``<prefix>/<container>/<task id>``, as awslogs names it."""
    task_id = task_arn.rsplit("/", 1)[-1]
    return WorkerDetails(WORKER_TYPE, task_arn, f"{LOG_STREAM_PREFIX}/{CONTAINER_NAME}/{task_id}")


def is_task(identifier: str) -> bool:
    """Return True for the ARN of a task: ECS refuses a whole request if one of its identifiers is not a task."""
    return _TASK_ARN.fullmatch(identifier) is not None


def execution_id_of(task: Task) -> str | None:
    """Return the execution for which a task was launched; None for a task that is not ours."""
    started_by = task.get("startedBy")
    return started_by if isinstance(started_by, str) and started_by.startswith(EXECUTION_PREFIX) else None


def invocation_id_of(task: Task) -> str | None:
    """Return the invocation for which a task was launched, from its environment; None if it names none."""
    overrides = task.get("overrides")
    containers = _mappings(overrides.get("containerOverrides")) if isinstance(overrides, Mapping) else []
    for container in containers:
        for variable in _mappings(container.get("environment")):
            if container.get("name") == CONTAINER_NAME and variable.get("name") == env_vars.INVOCATION_ID:
                return str(variable.get("value"))
    return None


def is_stopped(task: Task) -> bool:
    """Return True once nothing of the task is left: its containers and its network interface are gone."""
    return task.get("lastStatus") in ("STOPPED", "DELETED")


def container_exit(task: Task) -> ContainerExit:
    """Return how a stopped task ended. Unknown codes and texts are interruptions by the platform."""
    container = next((c for c in _mappings(task.get("containers")) if c.get("name") == CONTAINER_NAME), {})
    texts = [text for text in (_text(container, "reason"), _text(task, "stoppedReason")) if text]
    stop_code = _text(task, "stopCode")
    exit_code = container.get("exitCode")
    code = exit_code if isinstance(exit_code, int) else None
    if _any(_OUT_OF_MEMORY_TEXT, texts):
        return ContainerExit(ExitKind.OUT_OF_MEMORY, _out_of_memory_reason(task), code)
    if stop_code in _SPOT_STOP_CODES or _any(_SPOT_TEXT, texts):
        return ContainerExit(ExitKind.INTERRUPTED, "Fargate Spot took the container back", code)
    if stop_code == "TaskFailedToStart" or (code is None and _any(_START_FAILED_TEXT, texts)):
        reason = _first(_START_FAILED_TEXT, texts) or _told(stop_code, texts)
        return ContainerExit(ExitKind.START_FAILED, _short(reason), permanent=_lasting(texts))
    if stop_code == "UserInitiated":
        return _stopped(texts, code)
    if code is None:
        return ContainerExit(ExitKind.INTERRUPTED, _told(stop_code, texts))
    return _exited(stop_code, container, texts, code)


def _exited(stop_code: str, container: Mapping[str, object], texts: Sequence[str], code: int) -> ContainerExit:
    """Return the exit of a container that has an exit code, in a task that nobody stopped."""
    if stop_code not in ("", "EssentialContainerExited"):
        return ContainerExit(ExitKind.INTERRUPTED, _told(stop_code, texts), code)
    if code == 0 and (error := _text(container, "reason")):
        # Exit code 0 together with an error of the agent says nothing about the program.
        return ContainerExit(ExitKind.INTERRUPTED, _short(error), code)
    if code == SIGKILL_EXIT_CODE:
        return ContainerExit(ExitKind.EXITED, "the container was killed with SIGKILL", code)
    return ContainerExit(ExitKind.EXITED, "the container exited", code)


def _stopped(texts: Sequence[str], code: int | None) -> ContainerExit:
    ours = next((text for text in texts if text.startswith(STOP_REASON_PREFIX)), None)
    if ours is not None:
        return ContainerExit(ExitKind.STOPPED, _short(ours.removeprefix(STOP_REASON_PREFIX)), code)
    return ContainerExit(ExitKind.INTERRUPTED, _short(f"stopped from outside Multinode: {_told('', texts)}"), code)


def _out_of_memory_reason(task: Task) -> str:
    memory = str(task.get("memory", ""))
    return (
        f"the container used more than its {memory} MiB of memory" if memory.isdigit() else "the container was killed"
    )


def _lasting(texts: Sequence[str]) -> bool:
    return _any(_LASTING_TEXT, texts) and not _any(_PASSING_TEXT, texts)


def _told(stop_code: str, texts: Sequence[str]) -> str:
    """Return what the platform said, in its own words."""
    said = "; ".join(dict.fromkeys(texts)) or "the platform gave no reason"
    return _short(f"{said} ({stop_code})" if stop_code else said)


def _any(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    return _first(pattern, texts) is not None


def _first(pattern: re.Pattern[str], texts: Sequence[str]) -> str | None:
    return next((text for text in texts if pattern.search(text)), None)


def _short(text: str) -> str:
    return text if len(text) <= REASON_CHARS else text[: REASON_CHARS - 1] + "…"


def _text(mapping: Mapping[str, object], name: str) -> str:
    value = mapping.get(name)
    return value.strip() if isinstance(value, str) else ""


def _mappings(value: object) -> list[Mapping[str, object]]:
    items = value if isinstance(value, list | tuple) else []
    return [cast(Mapping[str, object], item) for item in items if isinstance(item, Mapping)]
