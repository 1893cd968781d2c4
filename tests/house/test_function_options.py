"""An option of a function is declared once; the few places that cannot be derived from that agree with it."""

import dataclasses
import inspect
import typing

import pytest

from multinode import Multinode, Retry
from multinode_protocol import messages
from multinode_protocol.function_options import ExecutionSpec, ResourceSpec, RetryPolicy, options_of, user_options
from scripts import function_options_table


@pytest.mark.parametrize(
    ("declared", "body"),
    [
        (ResourceSpec, messages.ResourceSpec),
        (ExecutionSpec, messages.ExecutionSpec),
        (RetryPolicy, messages.RetrySpec),
    ],
)
def test_the_rest_body_has_the_fields_of_the_declared_options(declared: type, body: type) -> None:
    assert set(typing.get_type_hints(body)) == {option.wire_name for option in options_of(declared).values()}


def test_the_decorator_takes_the_declared_options() -> None:
    with_options = typing.get_overloads(Multinode.function)[-1]
    keywords = {
        parameter.name
        for parameter in inspect.signature(with_options).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert keywords == {option.python_name for _, option in user_options()} | {"schedule"}


def test_the_docstring_of_the_decorator_describes_the_declared_options() -> None:
    described = " ".join((Multinode.function.__doc__ or "").split())
    for _, option in user_options():
        assert f"`{option.python_name}`: {option.description}." in described


def test_retry_has_the_declared_options_and_defaults() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(Retry) if field.name != "max_retries"}
    assert fields == {option.python_name: option.default for option in options_of(RetryPolicy).values()}


def test_the_tables_of_the_documentation_are_up_to_date() -> None:
    page = function_options_table.PAGE.read_text(encoding="utf-8")
    assert function_options_table.render(page) == page, "run: python scripts/function_options_table.py"


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'memroy'"):
        Multinode().function(memroy="1 GiB")  # type: ignore[call-overload]
