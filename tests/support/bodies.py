"""Bodies of the REST API as the tests of the commands need them."""

from typing import Any

CREATED = 1_700_000_000


def invocation_id(number: int) -> str:
    """Return the id of the test's invocation `number`; ids of neighbours differ in their last digits only."""
    return f"inv-{number:032x}"


def version_id(number: int) -> str:
    return f"ver-{number:032x}"


def execution_id(number: int) -> str:
    return f"exe-{number:032x}"


def function_info(name: str, signature: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "function_name": name,
        "docker_image": "local",
        "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 10},
        "execution_spec": {"max_retries": 0, "timeout_seconds": 3600},
        "function_status": "READY",
        "prepared_function_details": None,
        "description": f"What {name} does.",
        "signature": [] if signature is None else signature,
    } | changes


def invocation_info(identifier: str, **changes: Any) -> dict[str, Any]:
    """Return the body of an invocation that waits, unless `changes` say otherwise."""
    return {
        "project_name": "shop",
        "version_id": version_id(1),
        "function_name": "add",
        "invocation_id": identifier,
        "parent_invocation": None,
        "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 10},
        "execution_spec": {"max_retries": 0, "timeout_seconds": 3600},
        "function_status": "READY",
        "prepared_function_details": None,
        "input": "[[],{}]",
        "cancellation_request_time": None,
        "invocation_status": "RUNNING",
        "creation_time": CREATED,
        "last_update_time": CREATED,
        "executions": [],
        "status": "PENDING",
        "status_reason": "waiting for a free slot: 10 of 10 running",
        "terminated": False,
        "num_failed_attempts": 0,
        "num_failed_launches": 0,
        "result": None,
        "error": None,
        "error_traceback": None,
        "creation_time_ms": CREATED * 1000,
        "last_update_time_ms": CREATED * 1000,
        "finish_time_ms": None,
        "revision": "1",
    } | changes


def first_generation_execution(identifier: str, **changes: Any) -> dict[str, Any]:
    """Return the body of an execution without the fields that came later."""
    return {
        "execution_id": identifier,
        "worker_status": "RUNNING",
        "worker_details": None,
        "termination_signal_time": None,
        "outcome": None,
        "output": None,
        "error_message": None,
        "creation_time": CREATED,
        "last_update_time": CREATED,
        "execution_start_time": None,
        "execution_finish_time": None,
    } | changes


def execution(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "execution_id": execution_id(number),
        "attempt": number,
        "worker_status": "RUNNING",
        "worker_details": {"type": "TEST", "identifier": f"worker-{number}", "logs_identifier": "log"},
        "termination_signal_time": None,
        "outcome": None,
        "output": None,
        "error_message": None,
        "creation_time": CREATED,
        "last_update_time": CREATED,
        "execution_start_time": CREATED + 1,
        "execution_finish_time": None,
        "error_type": None,
        "error_traceback": None,
        "creation_time_ms": CREATED * 1000,
        "execution_start_time_ms": CREATED * 1000 + 1000,
        "execution_finish_time_ms": None,
    } | changes
