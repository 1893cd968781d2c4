"""One seeded scheduler: handlers are greenlets that switch at every port call; time passes only when all of them wait.

The same seed gives the same history: the order of greenlets, the faults and the delays come from one random generator.
"""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from greenlet import getcurrent, greenlet

from tests.support.fakes import EPOCH


class Died(BaseException):
    """The process of a handler is gone, in the middle of whatever it did: no `except Exception` sees it."""


class Fault(Exception):
    """A port call that failed for no reason of the caller's."""


class Plan:
    """How often what goes wrong; each seed draws its own mix. `healed`: nothing goes wrong any more."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.healed = False
        self.rates = {
            mode: rng.choice((0.0, 0.002, 0.01, 0.05)) for mode in ("before", "after", "die before", "die after")
        }

    def draw(self) -> str | None:
        """Return the fault of the next port call, or None."""
        if self.healed:
            return None
        number = self.rng.random()
        for mode, rate in self.rates.items():
            if number < rate:
                return mode
            number -= rate
        return None

    def chance(self, probability: float) -> bool:
        """Return True with that probability while faults are on."""
        return not self.healed and self.rng.random() < probability


class Scheduler:
    """Runs greenlets one at a time. `seen` counts rare situations: a run in which one never occurs proves little."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.plan = Plan(self.rng)
        self.time: datetime = EPOCH
        self.steps = 0
        self.seen: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        self._ready: list[greenlet] = []
        self._waiting: list[tuple[datetime, int, greenlet]] = []
        self._order = 0
        self._hub = getcurrent()

    # --- for the world ---

    def spawn(self, name: str, action: Callable[[], object]) -> None:
        """Run `action` as a handler of its own, among the others."""

        def body() -> None:
            try:
                action()
            except Died:
                self.seen[f"{name} died"] += 1
            except Fault:
                self.seen[f"{name} failed"] += 1
            except BaseException as error:
                self.failures.append(error)

        self._ready.append(greenlet(body, parent=self._hub))

    def run(self, until: datetime, *, most_steps: int = 200_000) -> None:
        """Run until `until`, or until nothing is left to do."""
        while not self.failures:
            if not self._ready and not self._wake(until):
                return
            chosen = self._ready.pop(self.rng.randrange(len(self._ready)))
            self.steps += 1
            if self.steps > most_steps:
                raise AssertionError(f"more than {most_steps} steps: something goes round in circles")
            chosen.switch()
        raise self.failures[0]

    def _wake(self, until: datetime) -> bool:
        if not self._waiting or min(self._waiting)[0] > until:
            self.time = max(self.time, until)
            return False
        self.time = max(self.time, min(self._waiting)[0])
        awake = [entry for entry in self._waiting if entry[0] <= self.time]
        self._waiting = [entry for entry in self._waiting if entry[0] > self.time]
        self._ready += [entry[2] for entry in sorted(awake, key=lambda entry: entry[1])]
        return True

    # --- for handlers ---

    def pause(self, seconds: float = 0.0) -> None:
        """Let others run; go on after `seconds` of simulated time."""
        current = getcurrent()
        if current is self._hub:
            return
        if seconds <= 0:
            self._ready.append(current)
        else:
            self._order += 1
            self._waiting.append((self.time + timedelta(seconds=seconds), self._order, current))
        self._hub.switch()

    def port_call(self, name: str, action: Callable[[], object]) -> object:
        """Return what a port call returns, after letting others run, and with whatever fault the plan draws."""
        self.pause()
        mode = self.plan.draw() if getcurrent() is not self._hub else None
        if mode is not None:
            self.seen[f"{name} {mode}"] += 1
        if mode == "die before":
            raise Died
        if mode == "before":
            raise Fault(name)
        result = action()
        if mode == "die after":
            raise Died
        if mode == "after":
            raise Fault(name)
        return result
