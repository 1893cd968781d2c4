"""When a Lambda function builds its parts: as its process starts, while Lambda gives it a whole processor."""

import functools
import os
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def at_start(build: Callable[[], T]) -> Callable[[], T]:
    """Return `build` cached: called at once on Lambda, elsewhere when it is first needed."""
    made = functools.cache(build)
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        made()
    return made
