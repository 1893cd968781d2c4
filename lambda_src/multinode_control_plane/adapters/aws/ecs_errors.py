"""What a refused `RunTask` means, by its code and its message, because ECS wraps the errors of other services.

Three of the many forms: ``ThrottlingException``; ``InvalidParameterException`` around EC2's "Request limit exceeded"; a
successful answer whose `failures` say that there is no capacity. Only errors on a list count as permanent; an unknown
one is tried again, a limited number of times.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum


class Refusal(Enum):
    THROTTLED = "too many calls: the same request may be sent again after a pause"
    UNCLEAR = "the service failed: whether a task was started is unknown"
    TRANSIENT = "no task was started; another try may succeed"
    PERMANENT = "no task was started, and no other try will succeed"


_THROTTLED = re.compile(r"throttl|rate exceeded|request ?limit ?exceeded|too many requests|slow down", re.IGNORECASE)
_UNCLEAR_CODES = frozenset({"ServerException", "InternalFailure", "ServiceUnavailable", "InternalServerError"})
_PERMANENT_CODES = frozenset(
    {
        "AccessDeniedException",
        "BlockedException",
        "ClusterNotFoundException",
        "PlatformTaskDefinitionIncompatibilityException",
        "PlatformUnknownException",
        "UnsupportedFeatureException",
    }
)
_PASSING_TEXT = re.compile(
    r"capacity is unavailable|limit on the number of|concurrent|try again|temporar|unable to assume the role",
    re.IGNORECASE,
)
"""Quotas in use, capacity, and roles that IAM has not propagated yet, with any code."""
_PERMANENT_TEXT = re.compile(
    r"task ?definition.*(inactive|not found|does not exist|unable to)|unable to (find|describe) task ?definition"
    r"|no fargate configuration|invalid|does not exist|not found|above your limit|not authorized|not supported"
    r"|must (be|have|specify)|requires|exceeds|too long|is missing",
    re.IGNORECASE,
)
_EC2_NOT_FOUND = (".NotFound", ".Malformed")
"""How EC2's own codes for subnets and security groups end, if ECS passes them on."""
_ANSWERED_BY_INPUT = ("ClientException", "InvalidParameterException", "ValidationException", "InvalidRequestException")


def refusal_of(code: str, message: str) -> Refusal:
    """Return what an error of `RunTask` means."""
    if _THROTTLED.search(code) or _THROTTLED.search(message):
        return Refusal.THROTTLED
    if code in _UNCLEAR_CODES:
        return Refusal.UNCLEAR
    if _PASSING_TEXT.search(message):
        return Refusal.TRANSIENT
    if code in _PERMANENT_CODES or code.endswith(_EC2_NOT_FOUND):
        return Refusal.PERMANENT
    if code in _ANSWERED_BY_INPUT and _PERMANENT_TEXT.search(message):
        return Refusal.PERMANENT
    return Refusal.TRANSIENT


def failure_reason(failures: Sequence[Mapping[str, object]]) -> str:
    """Return the reason given by a successful answer that started nothing: resources, capacity, an agent."""
    told = [": ".join(str(f[name]) for name in ("reason", "detail") if f.get(name)) for f in failures]
    return "; ".join(text for text in told if text) or "ECS started no task and gave no reason"
