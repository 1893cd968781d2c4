"""What makes the calls of a fake go wrong, or makes something happen beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self


@dataclass
class Hook:
    call: str
    action: Callable[[Any], object]
    when: Callable[[Any], bool]
    times: float
    after: bool


class Hooked:
    """A fake around whose calls a test has things happen. A hook is given the call's first argument; what it raises
    reaches the caller. It is used up before it runs, so that it may make the same call itself, unhooked."""

    _hooks: list[Hook]

    def __new__(cls, *_arguments: object, **_options: object) -> Self:
        fake = super().__new__(cls)
        fake._hooks = []
        return fake

    def before(
        self,
        call: str,
        action: Callable[[Any], object],
        *,
        when: Callable[[Any], bool] = lambda _: True,
        times: float = 1,
    ) -> None:
        """Do this before the next `times` calls `when` that holds."""
        self._hooks.append(Hook(call, action, when, times, after=False))

    def after(
        self,
        call: str,
        action: Callable[[Any], object],
        *,
        when: Callable[[Any], bool] = lambda _: True,
        times: float = 1,
    ) -> None:
        """Do this when the next `times` calls `when` that holds have been carried out."""
        self._hooks.append(Hook(call, action, when, times, after=True))

    def lose_answer(self, call: str, error: Exception) -> None:
        """Let the next call raise this although it has been carried out."""

        def lose(_argument: Any) -> None:
            raise error

        self.after(call, lose)

    def fail_next(
        self,
        call: str,
        error: Exception,
        *,
        when: Callable[[Any], bool] = lambda _: True,
        times: float = 1,
    ) -> None:
        """Let the next `times` calls `when` that holds raise this, without effect."""

        def fail(_argument: Any) -> None:
            raise error

        self.before(call, fail, when=when, times=times)

    def hooks_off(self) -> None:
        self._hooks.clear()

    def _run_hooks(self, call: str, argument: Any, *, after: bool = False) -> None:
        for hook in self._hooks:
            if (hook.call, hook.after) == (call, after) and hook.times > 0 and hook.when(argument):
                hook.times -= 1
                hook.action(argument)
                return
