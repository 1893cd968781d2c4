"""The objects that ``--json`` prints, as docs/cli.md documents them. Pure.

Names and units are those of the REST API. Arguments, progress and results are decoded, where the API has text.
"""

from collections.abc import Sequence
from typing import Any, cast

from multinode_cli.console.next_runs import next_run_s
from multinode_cli.console.payload_text import as_json
from multinode_protocol.function_options import Option, user_options
from multinode_protocol.messages import (
    ExecutionSummary,
    FunctionInfo,
    FunctionSpec,
    InvocationInfo,
    InvocationListing,
    LogLine,
    ProjectInfo,
    VersionInfo,
    VersionListing,
)
from multinode_protocol.status import InvocationStatus


def project_object(project: ProjectInfo) -> dict[str, Any]:
    return {
        "project_name": project["project_name"],
        "creation_time": project["creation_time"],
        "deletion_request_time": project["deletion_request_time"],
    }


def versions_objects(versions: Sequence[VersionListing]) -> list[dict[str, Any]]:
    return [{"version_id": version["version_id"], "creation_time": version["creation_time"]} for version in versions]


def version_object(version: VersionInfo) -> dict[str, Any]:
    return {
        "project_name": version["project_name"],
        "version_id": version["version_id"],
        "creation_time": version["creation_time"],
        "functions": [function_object(function) for function in version["functions"]],
    }


def function_object(function: FunctionInfo | FunctionSpec) -> dict[str, Any]:
    return {
        "function_name": function["function_name"],
        "signature": function.get("signature"),
        "description": function.get("description"),
        **{option.wire_name: value for option, value in option_values(function)},
        "schedule": function.get("schedule"),
    }


def option_values(function: FunctionInfo | FunctionSpec) -> list[tuple[Option, Any]]:
    """Return each option of a function with its value, None where that is not given."""
    parts = cast(dict[str, dict[str, Any]], function)
    return [(option, parts[part].get(option.wire_name)) for part, option in user_options()]


def described_function(function: FunctionInfo, active_at: float | None) -> dict[str, Any]:
    """Return a function with its next run; `active_at`: see `multinode_cli.console.next_runs`."""
    return function_object(function) | {"next_run_time": next_run_s(function, active_at)}


def described_version(version: VersionInfo, active_at: float | None) -> dict[str, Any]:
    """Return a version whose functions have their next runs."""
    functions = [described_function(function, active_at) for function in version["functions"]]
    return version_object(version) | {"functions": functions}


def invocation_object(invocation: InvocationInfo) -> dict[str, Any]:
    parent = invocation["parent_invocation"]
    return {
        "invocation_id": invocation["invocation_id"],
        "project_name": invocation["project_name"],
        "version_id": invocation["version_id"],
        "function_name": invocation["function_name"],
        "parent": None
        if parent is None
        else {"function_name": parent["function_name"], "invocation_id": parent["invocation_id"]},
        "status": invocation["status"],
        "status_reason": invocation["status_reason"],
        "terminated": invocation["terminated"],
        "input": as_json(invocation["input"]),
        "progress": as_json(progress_of(invocation)),
        "result": as_json(invocation["result"]) if is_final(invocation) else None,
        "error": invocation["error"],
        "error_traceback": invocation["error_traceback"],
        "num_failed_attempts": invocation["num_failed_attempts"],
        "num_failed_launches": invocation["num_failed_launches"],
        "creation_time_ms": invocation["creation_time_ms"],
        "last_update_time_ms": invocation["last_update_time_ms"],
        "finish_time_ms": invocation["finish_time_ms"],
        "executions": [execution_object(execution) for execution in invocation["executions"]],
    }


def is_final(invocation: InvocationInfo) -> bool:
    """Return True when the status can never change again; an unknown one counts as final once all has stopped."""
    try:
        return InvocationStatus(invocation["status"]).finished
    except ValueError:
        return invocation["terminated"]


def progress_of(invocation: InvocationInfo) -> str | None:
    """Return the newest value that the latest execution reported, encoded; its result once it has one."""
    executions = invocation["executions"]
    return executions[-1]["output"] if executions else None


def execution_object(execution: ExecutionSummary) -> dict[str, Any]:
    return {
        "execution_id": execution["execution_id"],
        "attempt": execution.get("attempt"),
        "worker_status": execution["worker_status"],
        "outcome": execution["outcome"],
        "output": as_json(execution["output"]),
        "error": execution["error_message"],
        "error_type": execution.get("error_type"),
        "error_traceback": execution.get("error_traceback"),
        "worker": execution["worker_details"],
        "creation_time_ms": milliseconds(execution, "creation_time"),
        "start_time_ms": milliseconds(execution, "execution_start_time"),
        "finish_time_ms": milliseconds(execution, "execution_finish_time"),
    }


def milliseconds(record: Any, field: str) -> int | None:
    """Return a time of a REST body in milliseconds, from whole seconds if there is nothing finer."""
    fine, coarse = record.get(f"{field}_ms"), record.get(field)
    if fine is not None:
        return int(fine)
    return None if coarse is None else int(coarse) * 1000


def listing_object(listing: InvocationListing) -> dict[str, Any]:
    return {
        "invocation_id": listing["invocation_id"],
        "parent": listing["parent_invocation"],
        "status": listing.get("status", listing["invocation_status"]),
        "status_reason": listing.get("status_reason"),
        "num_failed_attempts": listing.get("num_failed_attempts"),
        "creation_time_ms": milliseconds(listing, "creation_time"),
        "finish_time_ms": listing.get("finish_time_ms"),
    }


def log_object(line: LogLine) -> dict[str, Any]:
    return {
        "timestamp_ms": line["timestamp_ms"],
        "execution_id": line["execution_id"],
        "attempt": line["attempt"],
        "stream": line["stream"],
        "message": line["message"],
    }
