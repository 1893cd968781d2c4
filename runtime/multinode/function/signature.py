"""A function's parameters as a list of strings, so that arguments can be checked where its code is not.

One string per parameter, in order:

``x``       required                        ``*, x``    required, by keyword only
``x=``      has a default                   ``*, x=``   has a default, by keyword only
``x, /``    required, by position only      ``*args``   takes what is left of the positional arguments
``x=, /``   has a default, by position      ``**names`` takes what is left of the keyword arguments

``def f(a, b=1, *args, c, **rest)`` is ``["a", "b=", "*args", "*, c", "**rest"]``. Annotations and the values of
defaults are not part of it: the function itself checks the types of its arguments.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from multinode.errors import ParameterValidationError

__all__ = ["check_arguments", "signature_text"]

_PARAMETER = re.compile(r"(?P<before>\*\*|\*, |\*|)(?P<name>[^\W\d]\w*)(?P<default>=?)(?P<after>, /|)")
_KINDS = {
    ("", ""): inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ("", ", /"): inspect.Parameter.POSITIONAL_ONLY,
    ("*, ", ""): inspect.Parameter.KEYWORD_ONLY,
    ("*", ""): inspect.Parameter.VAR_POSITIONAL,
    ("**", ""): inspect.Parameter.VAR_KEYWORD,
}
_AROUND = {kind: around for around, kind in _KINDS.items()}


def signature_text(function: Callable[..., Any]) -> list[str]:
    """Return the parameters of `function` in this module's format; an empty list when it takes none."""
    return [_text(parameter) for parameter in inspect.signature(function).parameters.values()]


def check_arguments(
    signature: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any], *, function_name: str | None = None
) -> None:
    """Return if a function of this signature can be called with these arguments.

    A signature that this version cannot read fits everything: then the function itself has to refuse.

    Raises: ParameterValidationError, naming the argument that is missing or not known.
    """
    parsed = _parsed(signature)
    if parsed is None:
        return
    try:
        parsed.bind(*args, **kwargs)
    except TypeError as error:
        called = function_name or "the function"
        raise ParameterValidationError(f"{called}({_shown(parsed)}) cannot be called like this: {error}") from None


def _text(parameter: inspect.Parameter) -> str:
    before, after = _AROUND[parameter.kind]
    default = "" if parameter.default is inspect.Parameter.empty else "="
    return f"{before}{parameter.name}{default}{after}"


def _parsed(signature: Sequence[str]) -> inspect.Signature | None:
    try:
        return inspect.Signature([_parameter(text) for text in signature])
    except ValueError:
        return None


def _parameter(text: str) -> inspect.Parameter:
    match = _PARAMETER.fullmatch(text)
    kind = _KINDS.get((match["before"], match["after"])) if match else None
    if match is None or kind is None:
        raise ValueError(f"{text!r} is not a parameter")
    return inspect.Parameter(match["name"], kind, default=... if match["default"] else inspect.Parameter.empty)


def _shown(signature: inspect.Signature) -> str:
    """Return the parameters as in a definition: ``a, b=..., *, c``."""
    return str(signature)[1:-1].replace("=Ellipsis", "=...")
