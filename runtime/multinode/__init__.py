"""Run Python functions as asynchronous tasks: what users import.

Names are imported when they are first used, so that ``import multinode`` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multinode import errors
    from multinode.app import Multinode
    from multinode.function import Function, get_deployed_function
    from multinode.invocation import Execution, Invocation, Results
    from multinode.options import Retry
    from multinode.schedule import Cron, Every
    from multinode_protocol.status import InvocationStatus

__all__ = [
    "Cron",
    "Every",
    "Execution",
    "Function",
    "Invocation",
    "InvocationStatus",
    "Multinode",
    "Results",
    "Retry",
    "errors",
    "get_deployed_function",
]

_MODULES = {
    "Cron": "multinode.schedule",
    "Every": "multinode.schedule",
    "Execution": "multinode.invocation",
    "Function": "multinode.function",
    "Invocation": "multinode.invocation",
    "InvocationStatus": "multinode_protocol.status",
    "Multinode": "multinode.app",
    "Results": "multinode.invocation",
    "Retry": "multinode.options",
    "get_deployed_function": "multinode.function",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "errors":
        return import_module("multinode.errors")
    if name not in _MODULES:
        raise AttributeError(f"module 'multinode' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
