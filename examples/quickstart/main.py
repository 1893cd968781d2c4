"""The smallest project there is: one function, which takes its time and tells how far it is."""

import time
from collections.abc import Iterator
from datetime import timedelta

from multinode import Multinode

mn = Multinode()


@mn.function(cpu=0.1, memory="256 MiB", timeout=timedelta(minutes=10), max_retries=1)
def slow_sum(n: int, delay_s: float = 0.5) -> Iterator[int]:
    """Add the numbers from 1 to n, one every `delay_s` seconds.

    Each value that is yielded is the invocation's progress, and the last one is its result.
    """
    total = 0
    for number in range(1, n + 1):
        time.sleep(delay_s)
        total += number
        print(f"added {number} of {n}")
        yield total
