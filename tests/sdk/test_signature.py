"""Signatures as text, and arguments checked against them where the code is not."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode.errors import ParameterValidationError
from multinode.function import check_arguments, signature_text


def nothing() -> None: ...
def plain(a: int, b: str = "x") -> None: ...
def everything(a: Any, /, b: Any, c: Any = 1, *args: Any, d: Any, e: Any = 2, **rest: Any) -> None: ...
def by_position(a: Any, b: Any = 1, /) -> None: ...
def by_keyword(*, a: Any, b: Any = 1) -> None: ...
def größe(länge: Any) -> None: ...


ALL = [nothing, plain, everything, by_position, by_keyword, größe]


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (nothing, []),
        (plain, ["a", "b="]),
        (everything, ["a, /", "b", "c=", "*args", "*, d", "*, e=", "**rest"]),
        (by_position, ["a, /", "b=, /"]),
        (by_keyword, ["*, a", "*, b="]),
        (größe, ["länge"]),
    ],
)
def test_a_signature_is_one_text_per_parameter(function: Callable[..., Any], text: list[str]) -> None:
    assert signature_text(function) == text


@pytest.mark.parametrize("function", ALL)
@given(
    args=st.lists(st.integers(), max_size=4),
    kwargs=st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e", "f", "länge"]), st.integers(), max_size=4),
)
def test_the_text_fits_exactly_what_the_function_fits(
    function: Callable[..., Any], args: list[int], kwargs: dict[str, int]
) -> None:
    try:
        inspect.signature(function).bind(*args, **kwargs)
        fits = True
    except TypeError:
        fits = False
    try:
        check_arguments(signature_text(function), args, kwargs)
        found = True
    except ParameterValidationError:
        found = False
    assert found is fits


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ([], {}, r"add\(a, b=\.\.\.\) cannot be called like this: missing a required argument: 'a'"),
        ([1], {"c": 2}, r"got an unexpected keyword argument 'c'"),
        ([1, 2, 3], {}, r"too many positional arguments"),
        ([1], {"a": 2}, r"multiple values for argument 'a'"),
    ],
)
def test_what_does_not_fit_is_named(args: list[int], kwargs: dict[str, int], message: str) -> None:
    with pytest.raises(ParameterValidationError, match=message):
        check_arguments(["a", "b="], args, kwargs, function_name="add")


@pytest.mark.parametrize("signature", [["a: int"], ["?"], [""], ["b=", "a"], ["a", "a"], ["*, a, /"]])
def test_a_signature_that_cannot_be_read_fits_everything(signature: list[str]) -> None:
    assert check_arguments(signature, [1, 2, 3], {"z": 4}) is None  # type: ignore[func-returns-value]
