"""Every error that the REST API answers with: one table of code, HTTP status and message.

The API reads the table outward (code -> status and body), the SDK inward (code, or status and message, -> exception).
Status and message of the codes that the first Multinode knew are fixed: its clients match on both.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["ERRORS", "ErrorCode", "ErrorSpec", "code_of", "is_temporary"]


class ErrorCode(StrEnum):
    """The machine-readable name of an error, in the field ``code`` of an error body."""

    API_KEY_IS_INVALID = "ApiKeyIsInvalid"
    OFFSET_IS_INVALID = "OffsetIsInvalid"
    PARENT_FUNCTION_NAME_IS_MISSING = "ParentFunctionNameIsMissing"
    PARENT_INVOCATION_ID_IS_MISSING = "ParentInvocationIdIsMissing"
    PARENT_INVOCATION_DOES_NOT_EXIST = "ParentInvocationDoesNotExist"
    PARENT_INVOCATION_HAS_ENDED = "ParentInvocationHasEnded"
    PROJECT_NAME_IS_TOO_LONG = "ProjectNameIsTooLong"
    PROJECT_IS_BEING_DELETED = "ProjectIsBeingDeleted"
    PROJECT_DOES_NOT_EXIST = "ProjectDoesNotExist"
    VERSION_DOES_NOT_EXIST = "VersionDoesNotExist"
    FUNCTION_DOES_NOT_EXIST = "FunctionDoesNotExist"
    INVOCATION_DOES_NOT_EXIST = "InvocationDoesNotExist"
    EXECUTION_DOES_NOT_EXIST = "ExecutionDoesNotExist"
    PROJECT_ALREADY_EXISTS = "ProjectAlreadyExists"
    INVOCATION_ALREADY_EXISTS = "InvocationAlreadyExists"
    INVOCATION_IS_ALREADY_TERMINATED = "InvocationIsAlreadyTerminated"
    EXECUTION_HAS_ALREADY_STARTED = "ExecutionHasAlreadyStarted"
    EXECUTION_HAS_NOT_STARTED = "ExecutionHasNotStarted"
    EXECUTION_HAS_ALREADY_FINISHED = "ExecutionHasAlreadyFinished"
    EXECUTION_IS_ALREADY_TERMINATED = "ExecutionIsAlreadyTerminated"
    LIMIT_IS_REACHED = "LimitIsReached"
    REQUEST_IS_INVALID = "RequestIsInvalid"
    REQUEST_IS_MALFORMED = "RequestIsMalformed"
    REQUEST_IS_TOO_LARGE = "RequestIsTooLarge"
    ROUTE_DOES_NOT_EXIST = "RouteDoesNotExist"
    METHOD_IS_NOT_ALLOWED = "MethodIsNotAllowed"
    NOT_SUPPORTED_BY_BACKEND = "NotSupportedByBackend"
    CONTROL_PLANE_IS_BUSY = "ControlPlaneIsBusy"
    INTERNAL_ERROR = "InternalError"


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """What the API says for one code. A detail may be appended to the message where `fixed` is False."""

    status: int
    message: str
    fixed: bool = True


ERRORS: dict[ErrorCode, ErrorSpec] = {
    ErrorCode.API_KEY_IS_INVALID: ErrorSpec(403, "The API key is invalid"),
    ErrorCode.OFFSET_IS_INVALID: ErrorSpec(400, "The next offset is in an invalid format"),
    ErrorCode.PARENT_FUNCTION_NAME_IS_MISSING: ErrorSpec(400, "The parent function name is missing"),
    ErrorCode.PARENT_INVOCATION_ID_IS_MISSING: ErrorSpec(400, "The parent invocation ID is missing"),
    ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST: ErrorSpec(400, "The ID of the parent invocation is invalid"),
    ErrorCode.PARENT_INVOCATION_HAS_ENDED: ErrorSpec(
        409, "The parent invocation has ended or is being cancelled, so it can start nothing more"
    ),
    ErrorCode.PROJECT_NAME_IS_TOO_LONG: ErrorSpec(400, "The project name is too long"),
    ErrorCode.PROJECT_IS_BEING_DELETED: ErrorSpec(400, "The project is being deleted"),
    ErrorCode.PROJECT_DOES_NOT_EXIST: ErrorSpec(404, "A project with this name does not exist"),
    ErrorCode.VERSION_DOES_NOT_EXIST: ErrorSpec(404, "A version with this ID does not exist for this project"),
    ErrorCode.FUNCTION_DOES_NOT_EXIST: ErrorSpec(
        404, "A function with this name does not exist for this project version"
    ),
    ErrorCode.INVOCATION_DOES_NOT_EXIST: ErrorSpec(404, "An invocation with this ID does not exist for this function"),
    ErrorCode.EXECUTION_DOES_NOT_EXIST: ErrorSpec(404, "An execution with this ID does not exist for this invocation"),
    ErrorCode.PROJECT_ALREADY_EXISTS: ErrorSpec(409, "A project with this name already exists."),
    ErrorCode.INVOCATION_ALREADY_EXISTS: ErrorSpec(409, "An invocation with this ID already exists for this function"),
    ErrorCode.INVOCATION_IS_ALREADY_TERMINATED: ErrorSpec(409, "This invocation has already terminated"),
    ErrorCode.EXECUTION_HAS_ALREADY_STARTED: ErrorSpec(409, "This execution has already started"),
    ErrorCode.EXECUTION_HAS_NOT_STARTED: ErrorSpec(409, "This execution has not yet started"),
    ErrorCode.EXECUTION_HAS_ALREADY_FINISHED: ErrorSpec(409, "This execution has already finished"),
    ErrorCode.EXECUTION_IS_ALREADY_TERMINATED: ErrorSpec(409, "This execution has already terminated"),
    ErrorCode.LIMIT_IS_REACHED: ErrorSpec(429, "A limit of this deployment is reached", fixed=False),
    ErrorCode.REQUEST_IS_INVALID: ErrorSpec(422, "The request is invalid", fixed=False),
    ErrorCode.REQUEST_IS_MALFORMED: ErrorSpec(400, "The request is malformed", fixed=False),
    ErrorCode.REQUEST_IS_TOO_LARGE: ErrorSpec(413, "The request is too large", fixed=False),
    ErrorCode.ROUTE_DOES_NOT_EXIST: ErrorSpec(404, "This path does not exist", fixed=False),
    ErrorCode.METHOD_IS_NOT_ALLOWED: ErrorSpec(405, "This method is not allowed on this path", fixed=False),
    ErrorCode.NOT_SUPPORTED_BY_BACKEND: ErrorSpec(404, "This backend does not offer this", fixed=False),
    ErrorCode.CONTROL_PLANE_IS_BUSY: ErrorSpec(503, "The control plane is busy; send the request again", fixed=False),
    ErrorCode.INTERNAL_ERROR: ErrorSpec(500, "The control plane failed", fixed=False),
}

_BY_STATUS_AND_MESSAGE = {(failure.status, failure.message): code for code, failure in ERRORS.items()}


def code_of(status: int, body: dict[str, object]) -> ErrorCode | None:
    """Return the code that an error body means; by its `code`, else by status and message. None when unknown."""
    try:
        return ErrorCode(str(body.get("code")))
    except ValueError:
        return _BY_STATUS_AND_MESSAGE.get((status, str(body.get("detail"))))


def is_temporary(status: int) -> bool:
    """Return True for an HTTP status after which the same request may succeed later: 429 and 5xx."""
    return status == 429 or status >= 500
