"""The closest existing name for "did you mean", and the whole command line corrected. Pure."""

import difflib
import shlex
from collections.abc import Iterable, Sequence

from multinode_cli.console.text import clean, one_line

PROGRAM = "multinode"
NAME_SIMILARITY = 0.6
ID_SIMILARITY = 0.85
"""Ids made at about the same time begin alike, so only a typo counts as near."""
SHOWN = 8


def closest(wrong: str, names: Iterable[str], similarity: float = NAME_SIMILARITY) -> str | None:
    """Return the one of `names` that `wrong` most likely means; None if none is near.

    A beginning or end that only one name has (an id pasted incompletely) counts as near; case does not matter.
    """
    names = list(dict.fromkeys(names))
    folded = wrong.casefold()
    if len(folded) >= 4:
        partial = [n for n in names if n.casefold().startswith(folded) or n.casefold().endswith(folded)]
        if len(partial) == 1:
            return partial[0]
    by_folded = {name.casefold(): name for name in reversed(names)}
    near = difflib.get_close_matches(folded, by_folded, n=1, cutoff=similarity)
    return by_folded[near[0]] if near else None


def corrected_command(arguments: Sequence[str], wrong: str, right: str) -> str:
    """Return the command line of `arguments` with `wrong`, alone or as ``--option=wrong``, replaced by `right`."""
    corrected, done = [], False
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if not done and argument == wrong:
            corrected.append(right)
            done = True
        elif not done and equals and option.startswith("--") and value == wrong:
            corrected.append(f"{option}={right}")
            done = True
        else:
            corrected.append(argument)
    return shlex.join([PROGRAM, *corrected])


def listed(names: Sequence[str]) -> str:
    """Return `names` as ``a, b, c``; of many, the first few and how many more there are."""
    shown = ", ".join(one_line(name) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def unknown_name(what: str, wrong: str, names: Sequence[str], arguments: Sequence[str]) -> str:
    """Return the message for a name that does not exist: the existing names, or the command that was probably meant.

    `what` names the kind and its place, ``function`` or ``function in project tsp``.
    """
    message = f"there is no {what} named {clean(wrong)!r}."
    right = closest(wrong, names)
    if right is not None:
        return f"{message} Did you mean {right!r}?\n  {corrected_command(arguments, wrong, right)}"
    if names:
        return f"{message} Existing: {listed(names)}"
    return message


def unknown_id(what: str, wrong: str, ids: Sequence[str], arguments: Sequence[str]) -> str | None:
    """Return the message for an id that does not exist but is nearly one of `ids`; None if it is near none."""
    right = closest(wrong, ids, ID_SIMILARITY)
    if right is None:
        return None
    command = corrected_command(arguments, wrong, right)
    return f"there is no {what} {one_line(wrong)!r}. Did you mean {right!r}?\n  {command}"
