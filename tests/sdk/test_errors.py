"""The tree of exceptions: one root, one class per code, all fit to be pickled."""

import inspect
import pickle

import pytest

from multinode import errors
from multinode.errors import API_ERRORS, ApiError, InvocationFailedError, MultinodeError, WaitTimedOutError
from multinode_protocol.error_codes import ERRORS, ErrorCode

ALL = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]


def test_every_exception_is_under_the_one_root_and_exported() -> None:
    assert all(issubclass(error, MultinodeError) for error in ALL)
    assert {error.__name__ for error in ALL} | {"API_ERRORS"} == set(errors.__all__)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_an_exception_of_its_name(code: ErrorCode) -> None:
    error = API_ERRORS[code]
    assert issubclass(error, ApiError)
    assert error.__name__ == str(code)
    assert error.code is code


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_exception_can_be_raised_without_arguments_and_pickled(error: type[MultinodeError]) -> None:
    again = pickle.loads(pickle.dumps(error()))
    assert type(again) is error
    assert str(again) == str(error())


def test_an_api_error_made_without_details_has_those_of_its_code() -> None:
    error = errors.ProjectDoesNotExist()
    assert (error.status, error.detail) == (404, ERRORS[ErrorCode.PROJECT_DOES_NOT_EXIST].message)


def test_a_pickled_api_error_keeps_all_that_it_says() -> None:
    error = ApiError("no", code=ErrorCode.LIMIT_IS_REACHED, status=429, request="GET /x", request_id="r-1")
    again = pickle.loads(pickle.dumps(error))
    assert (again.detail, again.code, again.status) == ("no", ErrorCode.LIMIT_IS_REACHED, 429)
    assert (again.request, again.request_id) == ("GET /x", "r-1")
    assert str(again) == "no [HTTP 429, LimitIsReached, GET /x, request r-1]"


def test_a_failed_invocation_shows_the_traceback_of_the_worker() -> None:
    error = InvocationFailedError("Invocation inv-1 failed: ValueError: x", remote_traceback="Traceback:\n  line 1\n")
    assert str(error) == (
        "Invocation inv-1 failed: ValueError: x\n\nTraceback in the worker:\n  Traceback:\n    line 1"
    )


def test_a_wait_that_timed_out_is_a_timeout_error() -> None:
    assert issubclass(WaitTimedOutError, TimeoutError)


@pytest.mark.parametrize(
    "error",
    [errors.InvocationTimedOutError, errors.InvocationCancelledError, errors.ExecutionInterruptedError],
)
def test_what_interrupts_user_code_is_nothing_that_libraries_handle(error: type[Exception]) -> None:
    assert not issubclass(error, OSError | ValueError | RuntimeError)
