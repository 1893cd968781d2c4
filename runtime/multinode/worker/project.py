"""The user's project: importing its `main.py`, and finding the `Multinode` object and the functions in it."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from multinode.errors import NonRetryableError

if TYPE_CHECKING:
    from multinode.app import Multinode

MAIN = "main"


class MainIsMissing(NonRetryableError):
    """The project's folder has no `main.py`."""


class FunctionIsMissing(NonRetryableError):
    """The project's `main.py` has no such function."""


def enter(code_dir: Path) -> None:
    """Make the project's folder the working directory and the first entry of the module path.

    Raises MainIsMissing, so that a `main` module from elsewhere is never mistaken for the project's.
    """
    file = code_dir / f"{MAIN}.py"
    if not file.is_file():
        raise MainIsMissing(f"there is no main.py in {code_dir}: a project's functions are defined there")
    os.chdir(code_dir)
    sys.path.insert(0, str(code_dir))
    sys.argv = [str(file)]


def import_main() -> ModuleType:
    """Return the project's `main`, imported under that name. `enter` comes first. Raises what the import raises."""
    return importlib.import_module(MAIN)


def apps_in(module: ModuleType) -> dict[str, "Multinode"]:
    """Return the distinct `Multinode` objects among the module's global variables, each under its first name."""
    from multinode.app import Multinode

    apps: dict[str, Multinode] = {}
    for name, value in list(vars(module).items()):
        if isinstance(value, Multinode) and not any(value is app for app in apps.values()):
            apps[name] = value
    return apps


def function_in(module: ModuleType, name: str) -> Callable[..., object]:
    """Return the user's own function, undecorated, that is registered as `name`. Raises FunctionIsMissing."""
    apps = apps_in(module)
    for app in apps.values():
        if name in app.functions:
            code: Callable[..., object] = vars(app.functions[name])[
                "__wrapped__"
            ]  # as functools.update_wrapper left it
            return code
    known = sorted(known for app in apps.values() for known in app.functions)
    raise FunctionIsMissing(
        f"main.py has no function {name!r} decorated with `function` of a Multinode object;"
        f" it has: {', '.join(known) or 'no functions'}. Deploy the project again"
    )
