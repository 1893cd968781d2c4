"""The call of the user's function, which may be interrupted at each value that a generator yields.

The result is what the function returns. A generator's result is what it returns, or else (it returns None) the last
value that it yielded; None if it yielded nothing.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from multinode.errors import FunctionOutputSizeLimitExceeded, PayloadError
from multinode.worker.interruption import INTERRUPTIONS, Interruption


def call_function(
    function: Callable[[], Any],
    interruption: Interruption,
    report: Callable[[str], None],
    encode: Callable[[object], str],
) -> str:
    """Return the function's result, encoded. `report` gets each yielded value, encoded, before the next is computed.

    `function` must be written in C (a `partial`). Raises what the function raises, PayloadError and
    FunctionOutputSizeLimitExceeded. A yielded value that cannot be reported raises one of these two at its ``yield``.
    """
    value = interruption.call(function)
    if isinstance(value, Generator):
        return _drive(value, interruption, report, encode)
    return encode(value)


def _drive(
    generator: Generator[Any, Any, Any],
    interruption: Interruption,
    report: Callable[[str], None],
    encode: Callable[[object], str],
) -> str:
    last = "null"
    resume: Callable[[], Any] = generator.__next__
    while True:
        try:
            value = interruption.call(resume, partial(_is_over, generator))
        except StopIteration as stop:
            return last if stop.value is None else encode(stop.value)
        except INTERRUPTIONS as error:
            # Raised before the generator was entered: it has to see it, or it could not clean up.
            if error is not interruption.raised or _is_over(generator):
                raise
            resume = partial(generator.throw, error)
            continue
        try:
            last = encode(value)
            resume = generator.__next__
            report(last)
        except (PayloadError, FunctionOutputSizeLimitExceeded) as error:
            resume = partial(generator.throw, error)


def _is_over(generator: Generator[Any, Any, Any]) -> bool:
    """True once the generator has returned or raised. (One that is not Python's own never says so.)"""
    return getattr(generator, "gi_frame", generator) is None
