"""Functions: with which a caller starts, follows and cancels invocations.

handle      Function, and get_deployed_function
signature   a function's parameters as text, and whether arguments fit them
address     to which project, version and parent the invocations of a function belong
"""

from multinode.function.handle import Function, InvocationIds, get_deployed_function, last_value
from multinode.function.signature import check_arguments, signature_text

__all__ = [
    "Function",
    "InvocationIds",
    "check_arguments",
    "get_deployed_function",
    "last_value",
    "signature_text",
]
