"""All exceptions that users of Multinode see, under one root.

MultinodeError
├── ApiError                          the control plane refused a request: `code`, `status`, `detail`
│   └── one class per ErrorCode       ProjectDoesNotExist, FunctionDoesNotExist, LimitIsReached, …
├── ControlPlaneNotConfiguredError    no control plane is configured, or the profile cannot be trusted
├── ControlPlaneUnreachableError      no answer, or an answer that is not Multinode's
├── ParameterValidationError          an option or arguments that are not allowed (a ValueError)
├── InvalidUseError                   a call that is not possible here
│   └── DuplicateFunctionError        two functions of one project have the same name
├── PayloadError                      a value that cannot be encoded, or cannot be decoded here
├── FunctionInputSizeLimitExceeded    arguments over the inline limit
├── FunctionOutputSizeLimitExceeded   a result or progress value over the inline limit
├── InvocationFailedError             for the caller: the function raised, or its container was lost too often
├── InvocationCancelledError          for the caller, and inside the function itself
├── InvocationTimedOutError           for the caller, and inside the function itself
├── ExecutionInterruptedError         inside the function: the platform takes its host away
├── WaitTimedOutError                 the wait ended, the invocation goes on (a TimeoutError)
└── NonRetryableError                 raise it in a function: no further attempt is made
"""

from typing import ClassVar

from multinode_protocol.error_codes import ERRORS, ErrorCode

__all__ = [
    "API_ERRORS",
    "ApiError",
    "ApiKeyIsInvalid",
    "ControlPlaneIsBusy",
    "ControlPlaneNotConfiguredError",
    "ControlPlaneUnreachableError",
    "DuplicateFunctionError",
    "ExecutionDoesNotExist",
    "ExecutionHasAlreadyFinished",
    "ExecutionHasAlreadyStarted",
    "ExecutionHasNotStarted",
    "ExecutionInterruptedError",
    "ExecutionIsAlreadyTerminated",
    "FunctionDoesNotExist",
    "FunctionInputSizeLimitExceeded",
    "FunctionOutputSizeLimitExceeded",
    "InternalError",
    "InvalidUseError",
    "InvocationAlreadyExists",
    "InvocationCancelledError",
    "InvocationDoesNotExist",
    "InvocationFailedError",
    "InvocationIsAlreadyTerminated",
    "InvocationTimedOutError",
    "LimitIsReached",
    "MethodIsNotAllowed",
    "MultinodeError",
    "NonRetryableError",
    "NotSupportedByBackend",
    "OffsetIsInvalid",
    "ParameterValidationError",
    "ParentFunctionNameIsMissing",
    "ParentInvocationDoesNotExist",
    "ParentInvocationHasEnded",
    "ParentInvocationIdIsMissing",
    "PayloadError",
    "ProjectAlreadyExists",
    "ProjectDoesNotExist",
    "ProjectIsBeingDeleted",
    "ProjectNameIsTooLong",
    "RequestIsInvalid",
    "RequestIsMalformed",
    "RequestIsTooLarge",
    "RouteDoesNotExist",
    "VersionDoesNotExist",
    "WaitTimedOutError",
]


class MultinodeError(Exception):
    """The root of all that Multinode raises: ``except MultinodeError`` catches everything below and nothing else."""


class ControlPlaneNotConfiguredError(MultinodeError):
    """No control plane is configured, or what is configured cannot be used; the message says what to do."""


class ControlPlaneUnreachableError(MultinodeError):
    """The control plane did not answer in time, or something else answers at its address."""


class ParameterValidationError(MultinodeError, ValueError):
    """A value is not allowed; the message names it and says what is."""


class InvalidUseError(MultinodeError):
    """The call is not possible here; the message says which one is."""


class DuplicateFunctionError(InvalidUseError):
    """Two functions of one `Multinode` object have the same name."""


class PayloadError(MultinodeError):
    """A value cannot be encoded, or cannot be decoded in this Python; the message says what differs."""


class FunctionInputSizeLimitExceeded(MultinodeError):
    """The arguments are larger than `limits.MAX_PAYLOAD_BYTES` once encoded; nothing was started."""


class FunctionOutputSizeLimitExceeded(MultinodeError):
    """A result, or a yielded value, is larger than `limits.MAX_PAYLOAD_BYTES` once encoded."""


class NonRetryableError(MultinodeError):
    """Raise it, or a subclass, in a function: the invocation fails at once, whatever its `max_retries`."""


class WaitTimedOutError(MultinodeError, TimeoutError):
    """The result did not come in time. The invocation goes on; waiting may be repeated."""


class InvocationFailedError(MultinodeError):
    """The invocation ended as FAILED.

    `error` is the last attempt's ``Class: message``, `remote_traceback` the traceback inside the worker where there was
    one; both are part of ``str()``.
    """

    def __init__(
        self,
        message: str = "The invocation failed",
        *,
        invocation_id: str | None = None,
        error: str | None = None,
        remote_traceback: str | None = None,
    ) -> None:
        super().__init__(message)
        self.invocation_id = invocation_id
        self.error = error
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        message = str(self.args[0])
        if not self.remote_traceback:
            return message
        indented = "\n".join(f"  {line}" for line in self.remote_traceback.rstrip().splitlines())
        return f"{message}\n\nTraceback in the worker:\n{indented}"


# The next three are raised without arguments inside running user code, so each must be constructible without any.
# None is a TimeoutError or an OSError: libraries take those for failures of their own sockets, and go on.


class InvocationCancelledError(MultinodeError):
    """Somebody cancelled the invocation. Inside the function: clean up and return, or let it pass."""

    def __init__(self, message: str = "The invocation is being cancelled", *, invocation_id: str | None = None) -> None:
        super().__init__(message)
        self.invocation_id = invocation_id


class InvocationTimedOutError(MultinodeError):
    """The function's `timeout`, or its `max_queue_time`, is over. Inside the function: clean up and return."""

    def __init__(self, message: str = "The function's timeout is over", *, invocation_id: str | None = None) -> None:
        super().__init__(message)
        self.invocation_id = invocation_id


class ExecutionInterruptedError(MultinodeError):
    """The platform stops this container though nobody cancelled; the invocation may be attempted again elsewhere."""

    def __init__(self, message: str = "The platform is taking this container's host back") -> None:
        super().__init__(message)


class ApiError(MultinodeError):
    """The control plane refused a request.

    `detail` is its message, `code` the machine-readable name (None: one that this version does not know), `status` the
    HTTP status, `request` the method and path, `request_id` what to quote when reporting a fault of the control plane.
    """

    code: ErrorCode | None = None
    hint: ClassVar[str | None] = None
    """What to do next."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: ErrorCode | None = None,
        status: int | None = None,
        request: str | None = None,
        request_id: str | None = None,
    ) -> None:
        if code is not None:
            self.code = code
        failure = ERRORS.get(self.code) if self.code is not None else None
        self.detail = detail if detail is not None else failure.message if failure else "The request was refused"
        self.status = status if status is not None else failure.status if failure else 0
        self.request = request
        self.request_id = request_id
        super().__init__(self.detail)

    def __str__(self) -> str:
        about = ", ".join(
            part
            for part in (
                f"HTTP {self.status}" if self.status else None,
                str(self.code) if self.code else None,
                self.request,
                f"request {self.request_id}" if self.request_id else None,
            )
            if part
        )
        message = f"{self.detail} [{about}]" if about else self.detail
        return f"{message}. {self.hint}" if self.hint else message


class ApiKeyIsInvalid(ApiError):
    code = ErrorCode.API_KEY_IS_INVALID
    hint = "Log in again with `multinode login`, or check MULTINODE_API_URL and MULTINODE_API_KEY"


class OffsetIsInvalid(ApiError):
    code = ErrorCode.OFFSET_IS_INVALID
    hint = "Pass back a `next_offset` of the same listing, unchanged"


class ParentFunctionNameIsMissing(ApiError):
    code = ErrorCode.PARENT_FUNCTION_NAME_IS_MISSING


class ParentInvocationIdIsMissing(ApiError):
    code = ErrorCode.PARENT_INVOCATION_ID_IS_MISSING


class ParentInvocationDoesNotExist(ApiError):
    code = ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST


class ParentInvocationHasEnded(ApiError):
    code = ErrorCode.PARENT_INVOCATION_HAS_ENDED


class ProjectNameIsTooLong(ApiError):
    code = ErrorCode.PROJECT_NAME_IS_TOO_LONG


class ProjectIsBeingDeleted(ApiError):
    code = ErrorCode.PROJECT_IS_BEING_DELETED
    hint = "Once it is gone, `multinode deploy` can create it again"


class ProjectDoesNotExist(ApiError):
    code = ErrorCode.PROJECT_DOES_NOT_EXIST
    hint = "`multinode list` shows the projects, `multinode deploy` creates one"


class VersionDoesNotExist(ApiError):
    code = ErrorCode.VERSION_DOES_NOT_EXIST
    hint = "`multinode describe` shows a project's versions"


class FunctionDoesNotExist(ApiError):
    code = ErrorCode.FUNCTION_DOES_NOT_EXIST
    hint = "`multinode describe` shows a project's functions"


class InvocationDoesNotExist(ApiError):
    code = ErrorCode.INVOCATION_DOES_NOT_EXIST


class ExecutionDoesNotExist(ApiError):
    code = ErrorCode.EXECUTION_DOES_NOT_EXIST


class ProjectAlreadyExists(ApiError):
    code = ErrorCode.PROJECT_ALREADY_EXISTS


class InvocationAlreadyExists(ApiError):
    code = ErrorCode.INVOCATION_ALREADY_EXISTS


class InvocationIsAlreadyTerminated(ApiError):
    code = ErrorCode.INVOCATION_IS_ALREADY_TERMINATED


class ExecutionHasAlreadyStarted(ApiError):
    code = ErrorCode.EXECUTION_HAS_ALREADY_STARTED


class ExecutionHasNotStarted(ApiError):
    code = ErrorCode.EXECUTION_HAS_NOT_STARTED


class ExecutionHasAlreadyFinished(ApiError):
    code = ErrorCode.EXECUTION_HAS_ALREADY_FINISHED


class ExecutionIsAlreadyTerminated(ApiError):
    code = ErrorCode.EXECUTION_IS_ALREADY_TERMINATED


class LimitIsReached(ApiError):
    code = ErrorCode.LIMIT_IS_REACHED


class RequestIsInvalid(ApiError):
    code = ErrorCode.REQUEST_IS_INVALID


class RequestIsMalformed(ApiError):
    code = ErrorCode.REQUEST_IS_MALFORMED


class RequestIsTooLarge(ApiError):
    code = ErrorCode.REQUEST_IS_TOO_LARGE


class RouteDoesNotExist(ApiError):
    code = ErrorCode.ROUTE_DOES_NOT_EXIST
    hint = "The control plane may have another version than this package, or MULTINODE_API_URL a wrong path"


class MethodIsNotAllowed(ApiError):
    code = ErrorCode.METHOD_IS_NOT_ALLOWED


class NotSupportedByBackend(ApiError):
    code = ErrorCode.NOT_SUPPORTED_BY_BACKEND


class ControlPlaneIsBusy(ApiError):
    code = ErrorCode.CONTROL_PLANE_IS_BUSY
    hint = "Nothing was changed; try again"


class InternalError(ApiError):
    code = ErrorCode.INTERNAL_ERROR
    hint = "This is a fault of the control plane; its log has the request's id"


API_ERRORS: dict[ErrorCode, type[ApiError]] = {
    error.code: error for error in ApiError.__subclasses__() if error.code is not None
}
"""The exception of each code: the protocol's table of errors, read inward."""
