"""Records -> tables and lines for people. Pure.

Whatever comes from elsewhere (names, reasons, errors, output) is cleaned of control characters here.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from multinode_cli.console.json_output import is_final, milliseconds, option_values, progress_of
from multinode_cli.console.next_runs import next_run_words, schedule_words
from multinode_cli.console.payload_text import as_text, call_text
from multinode_cli.console.terminal import Style
from multinode_cli.console.text import ago, clean, clip, duration, one_line, width
from multinode_protocol.function_options import Memory, Number, Option, Seconds, WholeSeconds
from multinode_protocol.messages import (
    ExecutionSummary,
    FunctionInfo,
    FunctionSpec,
    InvocationInfo,
    InvocationListing,
    LogLine,
    ProjectInfo,
    VersionListing,
)
from multinode_protocol.status import InvocationStatus

GAP = 2
NARROWEST = 12
VALUE_COLUMNS = 200
COLUMNS = {
    "CPU": "cpu",
    "MEMORY": "memory",
    "TIMEOUT": "timeout",
    "CONCURRENCY": "max_concurrency",
    "RETRIES": "max_retries",
}
"""The options that a table of functions has room for."""
COLOURS = {
    InvocationStatus.PENDING: "yellow",
    InvocationStatus.RUNNING: "blue",
    InvocationStatus.CANCELLING: "yellow",
    InvocationStatus.SUCCEEDED: "green",
    InvocationStatus.FAILED: "red",
    InvocationStatus.CANCELLED: "magenta",
    InvocationStatus.TIMED_OUT: "red",
}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], style: Style) -> str:
    """Return aligned columns under headers. On a terminal the last column is cut so that no row wraps."""
    *widths, _ = (max(width(row[i]) for row in [headers, *rows]) for i in range(len(headers)))
    left = None if style.columns is None else max(style.columns - sum(widths) - GAP * len(widths), NARROWEST)

    cells = rows if left is None else [[*row[:-1], clip(row[-1], left)] for row in rows]
    # As a row like any other: tabulate would make each column two wider than its header.
    text = tabulate([headers, *cells], tablefmt="plain", disable_numparse=True)
    heading, *lines = (line.rstrip() for line in text.split("\n"))
    return "\n".join([style.paint(heading, bold=True), *lines])


def pairs(facts: Sequence[tuple[str, str]], style: Style) -> str:
    """Return one ``Label  value`` line per fact; further lines of a value are indented under its first."""
    column = max(len(label) for label, _ in facts) + GAP
    lines = []
    for label, value in facts:
        first, *rest = value.split("\n")
        lines.append(f"{style.paint(label, bold=True)}{' ' * (column - len(label))}{first}".rstrip())
        lines += [f"{' ' * column}{line}".rstrip() for line in rest]
    return "\n".join(lines)


def status_text(status: str, style: Style) -> str:
    """Return a status in its colour."""
    try:
        return style.paint(status, COLOURS[InvocationStatus(status)])
    except ValueError:  # of a newer control plane
        return one_line(status)


def moment(seconds: float, now: float) -> str:
    """Return a time as this machine's local time and how long ago it was."""
    local = datetime.datetime.fromtimestamp(seconds).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} ({ago(now - seconds)})"


def projects_table(projects: Sequence[ProjectInfo], now: float, style: Style) -> str:
    rows = [
        [
            one_line(project["project_name"]),
            moment(project["creation_time"], now),
            "being deleted" if project["deletion_request_time"] else "ready",
        ]
        for project in projects
    ]
    return table(["PROJECT", "CREATED", "STATE"], rows, style)


def versions_table(versions: Sequence[VersionListing], now: float, style: Style) -> str:
    """Return a project's versions, given newest first."""
    rows = [
        [version["version_id"], f"{moment(version['creation_time'], now)}{', latest' if number == 0 else ''}"]
        for number, version in enumerate(versions)
    ]
    return table(["VERSION", "CREATED"], rows, style)


def functions_table(functions: Sequence[FunctionInfo] | Sequence[FunctionSpec], style: Style) -> str:
    scheduled = any(function.get("schedule") for function in functions)
    headers = ["FUNCTION", *COLUMNS, "DESCRIPTION"]
    headers[-1:-1] = ["SCHEDULE"] if scheduled else []
    rows = []
    for function in functions:
        texts = {
            option.python_name: option_text(option, value)
            for option, value in option_values(function)
            if option.python_name in COLUMNS.values()
        }
        rows.append(
            [
                signature(function),
                *(texts[name] for name in COLUMNS.values()),
                *([schedule_words(function) or ""] if scheduled else []),
                one_line(function.get("description") or ""),
            ]
        )
    return table(headers, rows, style)


def signature(function: FunctionInfo | FunctionSpec) -> str:
    """Return a function as ``name(a, b=..., *, c)``; only its name where its parameters are unknown."""
    parameters = function.get("signature")
    name = one_line(function["function_name"])
    return name if parameters is None else f"{name}({one_line(parameters_text(parameters))})"


def parameters_text(parameters: Sequence[str]) -> str:
    """Return parameters, written one by one by `multinode.function.signature`, as they appear in a definition."""
    parts: list[str] = []
    by_position = sum(parameter.endswith(", /") for parameter in parameters)
    starred = False
    for number, parameter in enumerate(parameters, start=1):
        text = parameter.removesuffix(", /")
        if text.startswith("*, "):
            text = text.removeprefix("*, ")
            if not starred:
                parts.append("*")
            starred = True
        elif text.startswith("*") and not text.startswith("**"):
            starred = True
        parts.append(f"{text}..." if text.endswith("=") else text)
        if number == by_position:
            parts.append("/")
    return ", ".join(parts)


def option_text(option: Option, value: Any) -> str:
    """Return the value of a function's option for people."""
    match option.kind:
        case Memory():
            return memory(value)
        case WholeSeconds() | Seconds():
            return duration(value)
        case Number():
            return f"{value:g}"
    return str(value)


def memory(gibibytes: float) -> str:
    """Return an amount of memory, ``256 MiB`` or ``2 GiB``."""
    return f"{gibibytes:g} GiB" if gibibytes >= 1 else f"{gibibytes * 1024:.0f} MiB"


def function_card(function: FunctionInfo, where: str, style: Style, *, active_at: float | None = None) -> str:
    """Return everything about a function; `active_at`: see `multinode_cli.console.next_runs`."""
    options: dict[str, list[str]] = {}
    for option, value in option_values(function):
        if option.label is not None and value is not None:
            options.setdefault(option.label, []).append(option.shown.format(option_text(option, value)))
    options["Retries"] = [retries_text(function)]
    facts = [("Function", signature(function)), ("Version", where)]
    facts += [(label, ", ".join(texts)) for label, texts in options.items()]
    schedule = schedule_words(function)
    if schedule is not None:
        facts += [("Schedule", schedule), ("Next run", next_run_words(function, active_at))]
    if function.get("description"):
        facts.append(("Description", one_line(function.get("description") or "")))
    return pairs(facts, style)


def retries_text(function: FunctionInfo) -> str:
    execution = function["execution_spec"]
    retry = execution.get("retry")
    count = execution["max_retries"]
    if not count:
        return "none"
    if not retry:
        return f"at most {count}"
    text = f"at most {count}, "
    if retry["initial_delay_s"]:
        text += f"after {duration(retry['initial_delay_s'])}"
        if retry["backoff"] != 1:
            text += f", {retry['backoff']:g} times as long each time, up to {duration(retry['max_delay_s'])}"
    else:
        text += "at once"
    names = retry.get("retry_on")
    return f"{text}, on {one_line(', '.join(names))}" if names else text


def invocations_table(invocations: Sequence[InvocationListing], now: float, style: Style) -> str:
    rows = []
    for invocation in invocations:
        created_s = (milliseconds(invocation, "creation_time") or 0) / 1000
        finish_ms = invocation.get("finish_time_ms")
        took = duration((finish_ms / 1000 if finish_ms else now) - created_s)
        status = invocation.get("status", invocation["invocation_status"])
        reason = one_line(invocation.get("status_reason") or "")
        rows.append([invocation["invocation_id"], status, ago(now - created_s), took, reason])
    return table(["INVOCATION", "STATUS", "STARTED", "TOOK", "REASON"], rows, style)


def invocation_card(invocation: InvocationInfo, now: float, style: Style) -> str:
    """Return everything about an invocation, including its attempts."""
    created_s = invocation["creation_time_ms"] / 1000
    finish_ms = invocation["finish_time_ms"]
    reason = one_line(invocation["status_reason"])
    facts = [
        ("Invocation", invocation["invocation_id"]),
        ("Call", one_line(call_text(invocation["function_name"], invocation["input"]), VALUE_COLUMNS)),
        ("Project", f"{invocation['project_name']} (version {invocation['version_id']})"),
        ("Status", status_text(invocation["status"], style) + (f": {reason}" if reason else "")),
        ("Created", moment(created_s, now)),
        ("Took" if finish_ms else "Takes", duration((finish_ms / 1000 if finish_ms else now) - created_s)),
    ]
    parent = invocation["parent_invocation"]
    if parent:
        facts.append(("Parent", f"{parent['function_name']} {parent['invocation_id']}"))
    progress = progress_of(invocation)
    if is_final(invocation) and invocation["result"] is not None:
        facts.append(("Result", one_line(as_text(invocation["result"]), VALUE_COLUMNS)))
    elif progress is not None:
        facts.append(("Progress", one_line(as_text(progress), VALUE_COLUMNS)))
    if invocation["error"]:
        facts.append(("Error", clean(invocation["error"])))
    if invocation["error_traceback"]:
        facts.append(("Traceback", clean(invocation["error_traceback"]).rstrip()))
    text = pairs(facts, style)
    executions = invocation["executions"]
    return f"{text}\n\n{executions_table(executions, now, style)}" if executions else text


def executions_table(executions: Sequence[ExecutionSummary], now: float, style: Style) -> str:
    rows = []
    for execution in executions:
        start_ms, finish_ms = (milliseconds(execution, f"execution_{end}_time") for end in ("start", "finish"))
        took = duration((finish_ms or now * 1000) / 1000 - start_ms / 1000) if start_ms else ""
        rows.append(
            [
                str(execution.get("attempt", "")),
                execution["execution_id"],
                execution["outcome"] or execution["worker_status"],
                took,
                one_line(execution["error_message"] or "", VALUE_COLUMNS),
            ]
        )
    return table(["ATTEMPT", "EXECUTION", "OUTCOME", "TOOK", "ERROR"], rows, style)


def execution_card(execution: ExecutionSummary, now: float, style: Style) -> str:
    start_ms, finish_ms = (milliseconds(execution, f"execution_{end}_time") for end in ("start", "finish"))
    facts = [
        ("Execution", execution["execution_id"]),
        ("Attempt", str(execution.get("attempt", ""))),
        ("Outcome", execution["outcome"] or f"none yet, worker {execution['worker_status']}"),
        ("Started", moment(start_ms / 1000, now) if start_ms else "not yet"),
    ]
    if start_ms and finish_ms:
        facts.append(("Took", duration((finish_ms - start_ms) / 1000)))
    worker = execution["worker_details"]
    if worker:
        facts.append(("Worker", one_line(f"{worker['type']} {worker['identifier']}")))
    if execution["output"] is not None:
        facts.append(("Output", one_line(as_text(execution["output"]), VALUE_COLUMNS)))
    if execution["error_message"]:
        facts.append(("Error", clean(execution["error_message"])))
    traceback = execution.get("error_traceback")
    if traceback:
        facts.append(("Traceback", clean(traceback).rstrip()))
    return pairs(facts, style)


def result_text(invocation: InvocationInfo, style: Style) -> str:
    """Return the result of a finished invocation: JSON, or the ``repr`` of what JSON cannot hold."""
    text = as_text(invocation["result"] if invocation["result"] is not None else "null")
    return clean(text) if style.terminal else text


def failure_text(invocation: InvocationInfo) -> str:
    """Return why an invocation that ended did not succeed: id, status, and the error or reason."""
    why = invocation["error"] or invocation["status_reason"]
    return f"{invocation['invocation_id']} {invocation['status']}" + (f": {clean(why)}" if why else "")


def log_text(line: LogLine, style: Style, *, timestamps: bool = False) -> str:
    """Return a line of a log: as it was written in a pipe, cleaned on a terminal; the worker's own lines are marked."""
    message = clean(line["message"]) if style.terminal else line["message"]
    if line["stream"] == "worker":
        message = style.paint(f"[multinode] {message}", dim=True)
    if not timestamps:
        return message
    time = datetime.datetime.fromtimestamp(line["timestamp_ms"] / 1000, datetime.UTC)
    return f"{style.paint(f'{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z', dim=True)} {message}"
