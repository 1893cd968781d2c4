"""How long to wait before the next try: exponential backoff with jitter. Pure, standard library only."""

from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow from `first_s` by `factor`, up to `longest_s`; the share `jitter` of each is random.

    The default is half of it, so that those who failed together do not come back together ("equal jitter":
    aws.amazon.com/blogs/architecture, Exponential Backoff And Jitter).
    """

    first_s: float
    longest_s: float
    factor: float = 2.0
    jitter: float = 0.5

    def pause_s(self, tries: int, drawn: float) -> float:
        """Return seconds to wait after `tries` failed tries (from 1); `drawn` is a random number from 0 to 1."""
        try:
            longest = min(self.first_s * self.factor ** (tries - 1), self.longest_s)
        except OverflowError:
            longest = self.longest_s
        return longest * (1 - self.jitter + self.jitter * drawn)
