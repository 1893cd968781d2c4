"""A minimal project: one function that takes its time and reports its progress."""

import time
from collections.abc import Iterator
from datetime import timedelta

from multinode import Multinode

mn = Multinode()


@mn.function(cpu=0.1, memory="256 MiB", timeout=timedelta(minutes=10), max_retries=1)
def slow_sum(n: int, delay_s: float = 0.5) -> Iterator[int]:
    """Add the numbers from 1 to n, one every `delay_s` seconds.

    Each yielded value is the invocation's progress, and the last one is its result.
    """
    total = 0
    for number in range(1, n + 1):
        time.sleep(delay_s)
        total += number
        print(f"added {number} of {n}")
        yield total
