"""Invocations, for their callers.

record     one invocation, as it stood when it was read
waiting    reading one, cancelling one, waiting for its end
results    many calls, their results as one stream in the order of the calls
"""

from multinode.invocation.record import Execution, Invocation, value_of
from multinode.invocation.results import Results
from multinode.invocation.waiting import await_end, cancel, fetch, hold

__all__ = ["Execution", "Invocation", "Results", "await_end", "cancel", "fetch", "hold", "value_of"]
