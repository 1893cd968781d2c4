"""Bodies of the REST API, version 1, as typed dictionaries.

Times are whole seconds since the epoch unless named ``*_ms``.
"""

from typing import NotRequired, TypedDict

__all__ = [
    "DeploymentInfo",
    "ErrorBody",
    "ExecutionInfo",
    "ExecutionLogs",
    "ExecutionSpec",
    "ExecutionSummary",
    "FinishBody",
    "FunctionInfo",
    "FunctionSpec",
    "InvocationDefinition",
    "InvocationInfo",
    "InvocationLogs",
    "InvocationListing",
    "InvocationsList",
    "LocalBundle",
    "LogLine",
    "ParentInvocation",
    "ParentInvocationInfo",
    "PreparedFunctionDetails",
    "ProjectInfo",
    "ProjectsList",
    "ResourceSpec",
    "ScheduleSpec",
    "StartBody",
    "RetrySpec",
    "UpdateBody",
    "VersionDefinition",
    "VersionInfo",
    "VersionListing",
    "VersionsList",
    "WorkerDetails",
]


class ErrorBody(TypedDict):
    """Every answer of 400 and above. `request_id` comes with a 5xx: quote it in a report."""

    detail: str
    code: str
    request_id: NotRequired[str]


class DeploymentInfo(TypedDict):
    """``GET /deployment``: what a client needs to know of the deployment behind the key."""

    backend: str
    api_version: int
    multinode_version: str
    data_dir: NotRequired[str]
    """The local backend's folder, where `deploy` puts bundles. Absent elsewhere."""
    deployment_name: NotRequired[str]
    """On AWS: by what name `deploy` finds cluster, repository and roles."""
    region: NotRequired[str]
    account_id: NotRequired[str]
    """On AWS: where it is, so that a deploy with another account's credentials is noticed before it begins."""


class ProjectInfo(TypedDict):
    project_name: str
    deletion_request_time: int | None
    creation_time: int


class ProjectsList(TypedDict):
    projects: list[ProjectInfo]


class ResourceSpec(TypedDict):
    virtual_cpus: float
    memory_gbs: float
    max_concurrency: int


class RetrySpec(TypedDict):
    """`initial_delay_s * backoff ** (n - 1)` seconds before attempt n + 1, at most `max_delay_s`."""

    initial_delay_s: float
    backoff: float
    max_delay_s: float
    jitter: float
    """The share of the delay that is random, 0 to 1."""
    retry_on: NotRequired[list[str] | None]
    """Names of exception classes that are retried; None: all but NonRetryableError."""


class ExecutionSpec(TypedDict):
    max_retries: int
    timeout_seconds: int
    max_queue_seconds: NotRequired[int | None]
    grace_seconds: NotRequired[int | None]
    retry: NotRequired[RetrySpec | None]


class ScheduleSpec(TypedDict):
    """When a function runs by itself, without arguments: exactly one of `cron` and `every_seconds` is given."""

    cron: NotRequired[str | None]
    """Five fields; see `multinode_protocol.cron`."""
    timezone: NotRequired[str | None]
    """IANA name; None: UTC."""
    every_seconds: NotRequired[int | None]
    """Whole minutes, counted from the epoch."""


class PreparedFunctionDetails(TypedDict):
    type: str
    identifier: str


class FunctionSpec(TypedDict):
    """One function as `deploy` registers it."""

    function_name: str
    docker_image_override: NotRequired[str | None]
    resource_spec: ResourceSpec
    execution_spec: ExecutionSpec
    description: NotRequired[str | None]
    """First line of the function's docstring."""
    signature: NotRequired[list[str] | None]
    """See `multinode.function.signature_text`: lets a caller without the code check its arguments."""
    schedule: NotRequired[ScheduleSpec | None]


class LocalBundle(TypedDict):
    """Where the local backend finds a version: absolute paths on the server's own machine."""

    code_dir: str
    python: str
    """The interpreter of the version's environment, with `multinode.worker` importable."""
    env_file: NotRequired[str | None]
    """JSON object of the project's own environment variables, mode 0600."""


class VersionDefinition(TypedDict):
    default_docker_image: str
    functions: list[FunctionSpec]
    local_bundle: NotRequired[LocalBundle | None]
    task_definition: NotRequired[str | None]


class FunctionInfo(TypedDict):
    function_name: str
    docker_image: str
    resource_spec: ResourceSpec
    execution_spec: ExecutionSpec
    function_status: str
    prepared_function_details: PreparedFunctionDetails | None
    description: NotRequired[str | None]
    signature: NotRequired[list[str] | None]
    schedule: NotRequired[ScheduleSpec | None]


class VersionInfo(TypedDict):
    project_name: str
    version_id: str
    creation_time: int
    functions: list[FunctionInfo]
    local_bundle: NotRequired[LocalBundle | None]
    task_definition: NotRequired[str | None]


class VersionListing(TypedDict):
    version_id: str
    creation_time: int


class VersionsList(TypedDict):
    project_name: str
    versions: list[VersionListing]


class ParentInvocation(TypedDict):
    function_name: str
    invocation_id: str


class InvocationDefinition(TypedDict):
    input: str
    parent_invocation: NotRequired[ParentInvocation | None]
    invocation_id: NotRequired[str | None]
    """Chosen by the client (`inv-` and a UUIDv7 in hex): sending the same request again is the same invocation."""


class ParentInvocationInfo(TypedDict):
    function_name: str
    invocation_id: str
    cancellation_request_time: int | None
    invocation_status: str
    creation_time: int
    last_update_time: int


class WorkerDetails(TypedDict):
    type: str
    identifier: str
    logs_identifier: str


class ExecutionSummary(TypedDict):
    execution_id: str
    worker_status: str
    worker_details: WorkerDetails | None
    termination_signal_time: int | None
    outcome: str | None
    output: str | None
    error_message: str | None
    creation_time: int
    last_update_time: int
    execution_start_time: int | None
    execution_finish_time: int | None
    attempt: NotRequired[int]
    """Counts from 1; launches that failed before the code started are not attempts and keep the number."""
    error_type: NotRequired[str | None]
    error_traceback: NotRequired[str | None]
    creation_time_ms: NotRequired[int]
    execution_start_time_ms: NotRequired[int | None]
    execution_finish_time_ms: NotRequired[int | None]


class ExecutionInfo(ExecutionSummary):
    """What a worker reads. `stop_reason` answers its question why it was told to stop: an AbortReason or None."""

    project_name: str
    version_id: str
    function_name: str
    invocation_id: str
    input: str
    cancellation_request_time: int | None
    resource_spec: ResourceSpec
    execution_spec: ExecutionSpec
    function_status: str
    prepared_function_details: PreparedFunctionDetails | None
    invocation_creation_time: int
    stop_reason: NotRequired[str | None]
    remaining_s: NotRequired[float | None]
    """Seconds of `timeout` left when the answer was made; None before the code has started."""


class StartBody(TypedDict):
    """`worker_nonce` is drawn once by each worker: its own repeated `start` is answered again, another's refused."""

    worker_nonce: NotRequired[str | None]
    worker_identifier: NotRequired[str | None]
    """The container's identifier, where the worker knows it: repairs a launch whose answer was lost."""


class UpdateBody(TypedDict):
    """`sequence` counts the worker's updates from 1: a late one with a lower number changes nothing."""

    latest_output: str
    sequence: NotRequired[int]


class FinishBody(TypedDict):
    outcome: str
    final_output: NotRequired[str | None]
    error_message: NotRequired[str | None]
    """Present exactly when the outcome is FAILED: ``Class: message``."""
    error_type: NotRequired[str | None]
    """Qualified class name: ``pkg.MyError``."""
    error_bases: NotRequired[list[str] | None]
    """Simple and qualified names of the class and every base of it: what `retry_on` matches."""
    error_traceback: NotRequired[str | None]
    retryable: NotRequired[bool]
    """False for NonRetryableError. Default True."""
    infrastructure: NotRequired[bool]
    """True when the platform, not the user's code, ended the attempt (memory, a killed child). Default False."""
    abort_reason: NotRequired[str | None]


class InvocationInfo(TypedDict):
    project_name: str
    version_id: str
    function_name: str
    invocation_id: str
    parent_invocation: ParentInvocationInfo | None
    resource_spec: ResourceSpec
    execution_spec: ExecutionSpec
    function_status: str
    prepared_function_details: PreparedFunctionDetails | None
    input: str
    cancellation_request_time: int | None
    invocation_status: str
    """RUNNING or TERMINATED: the word of the first Multinode for `terminated`."""
    creation_time: int
    last_update_time: int
    executions: list[ExecutionSummary]
    status: str
    status_reason: str
    terminated: bool
    num_failed_attempts: int
    num_failed_launches: int
    result: str | None
    error: str | None
    error_traceback: str | None
    creation_time_ms: int
    last_update_time_ms: int
    finish_time_ms: int | None
    revision: str
    """Opaque; differs whenever anything a reader may see has changed. ``?wait_s=N&since=REVISION`` waits for that."""


class InvocationListing(TypedDict):
    invocation_id: str
    parent_invocation: ParentInvocation | None
    cancellation_request_time: int | None
    invocation_status: str
    creation_time: int
    last_update_time: int
    status: NotRequired[str]
    status_reason: NotRequired[str]
    creation_time_ms: NotRequired[int]
    finish_time_ms: NotRequired[int | None]
    num_failed_attempts: NotRequired[int]


class InvocationsList(TypedDict):
    project_name: str
    version_id: str
    function_name: str
    invocations: list[InvocationListing]
    next_offset: str | None


class LogLine(TypedDict):
    """One line of the user's stdout or stderr, or of the worker (`stream` is ``stdout``, ``stderr`` or ``worker``)."""

    timestamp_ms: int
    execution_id: str
    attempt: int
    stream: str
    message: str


class ExecutionLogs(TypedDict):
    project_name: str
    version_id: str
    function_name: str
    invocation_id: str
    execution_id: str
    log_lines: list[str]
    next_offset: str | None


class InvocationLogs(TypedDict):
    """``GET /invocations/I/logs``: all executions' lines merged by time.

    `next_offset` is never None: pass it back to read what came after. `complete` is True once the invocation is
    terminated and every line has been given.
    """

    invocation_id: str
    lines: list[LogLine]
    next_offset: str
    complete: bool
