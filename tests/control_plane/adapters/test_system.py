"""Ids and the clock of the machine."""

import re
import threading
import time
from datetime import UTC

from multinode_control_plane.adapters.system import SystemClock, SystemIds


def test_an_id_is_its_prefix_and_a_uuid_of_version_7() -> None:
    text = SystemIds().new("exe")
    assert re.fullmatch(r"exe-[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", text)


def test_an_id_begins_with_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    milliseconds = int(SystemIds().new("inv")[4:16], 16)
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_ids_made_one_after_another_sort_in_that_order_also_between_threads() -> None:
    ids = SystemIds()
    made = [ids.new("inv") for _ in range(5000)]
    assert made == sorted(set(made))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.extend(ids.new("inv") for _ in range(500))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4000
    assert min(found) > made[-1]


def test_jitter_lies_between_nought_and_one() -> None:
    ids = SystemIds()
    draws = [ids.jitter() for _ in range(100)]
    assert 0 <= min(draws) < max(draws) <= 1


def test_the_clock_is_aware_of_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
