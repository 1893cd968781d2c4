"""Why the control plane refuses a request: one exception, whose code is a row of the protocol's table."""

from multinode_protocol.error_codes import ERRORS, ErrorCode


class Refused(Exception):
    """A request that is not granted. `detail` is appended to the table's message, unless that message is fixed."""

    def __init__(self, code: ErrorCode, detail: str | None = None) -> None:
        failure = ERRORS[code]
        self.code = code
        self.status = failure.status
        self.message = failure.message if detail is None or failure.fixed else f"{failure.message}: {detail}"
        super().__init__(self.message)


def invalid(path: str, problem: str, allowed: str) -> Refused:
    """Return the refusal of one field."""
    return Refused(ErrorCode.REQUEST_IS_INVALID, f"`{path}` {problem}; allowed: {allowed}")
