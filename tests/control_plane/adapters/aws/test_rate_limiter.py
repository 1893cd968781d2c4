"""The pace of launches: a burst, then a rate, and slower when the platform says so."""

import threading

from multinode_control_plane.adapters.aws.rate_limiter import RateLimiter
from tests.support.fakes import FakeClock


class Standing(FakeClock):
    """The fake clock, standing still while somebody sleeps: all callers meet at one moment."""

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))


def pace(clock: FakeClock, per_second: float = 20, burst: int = 3) -> RateLimiter:
    return RateLimiter(per_second, burst, now=clock.monotonic, sleep=clock.sleep)


def test_a_burst_goes_at_once_and_the_rest_in_step() -> None:
    clock = Standing()
    paced = pace(clock)
    for _ in range(6):
        paced.take()
    # The first three are the burst; then one each 1/20 s, seen from the same moment.
    assert clock.slept == [0.05, 0.1, 0.15]


def test_an_idle_time_fills_the_bucket_again_up_to_the_burst() -> None:
    clock = Standing()
    paced = pace(clock)
    for _ in range(3):
        paced.take()
    clock.advance(3600)
    for _ in range(4):
        paced.take()
    assert clock.slept == [0.05]


def test_a_throttled_call_halves_the_rate_and_empties_the_bucket() -> None:
    clock = Standing()
    paced = pace(clock)
    paced.throttled()
    paced.take()
    # 20 per second became 10.
    assert clock.slept == [0.1]


def test_the_rate_never_falls_below_one_per_second() -> None:
    clock = Standing()
    paced = pace(clock)
    for _ in range(50):
        paced.throttled()
    paced.take()
    assert clock.slept == [1.0]


def test_calls_that_go_through_bring_the_full_rate_back_and_no_more() -> None:
    clock = Standing()
    paced = pace(clock)
    paced.throttled()
    # From 10 to 20 in steps of a half: 20 calls.
    for _ in range(19):
        paced.went_through()
    paced.take()
    assert clock.slept == [round(1 / 19.5, 6)]
    for _ in range(30):
        paced.went_through()
    paced.take()
    # The second in line of an empty bucket, at 20 per second.
    assert clock.slept[1:] == [0.1]


def test_threads_share_one_bucket() -> None:
    clock = Standing()
    paced = pace(clock, burst=10)
    threads = [threading.Thread(target=paced.take) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # 30 callers, 10 at once, 20 in line: 1/20 s, 2/20 s, … 1 s.
    assert sorted(clock.slept) == [round(place / 20, 6) for place in range(1, 21)]
