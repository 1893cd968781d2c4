"""Classes and functions of the user's own project travel inside the pickle, so that a reader needs no copy of them.

A reader that has the very same source file (its *twin*: a caller with the code at hand, another worker of the project)
gets its own class or function all the same, so that ``isinstance``, ``==`` of dataclasses and ``is`` of enum members
hold. Every class, function and module of the user's own is therefore pickled as a call of `_rebuilt`: its origin, which
says where the twin would be, and how to build it without one.
"""

import hashlib
import importlib
import io
import os
import pickle
import sys
import types
from collections.abc import Callable
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from multinode.errors import ExecutionInterruptedError, InvocationCancelledError, InvocationTimedOutError

__all__ = ["ByValue", "dump", "register_own_modules", "travel_by_value"]

PICKLE_PROTOCOL = 5

_code_dirs: list[str] = []
_own_modules: set[str] = set()
_others: set[tuple[str, str]] = set()
"""Names and files of modules that are not the user's own: checked once, not for every value."""
_OURS = frozenset({"multinode", "multinode_cli", "multinode_control_plane", "multinode_protocol"})


def travel_by_value(code_dir: Path) -> None:
    """Make the classes and functions of the modules below `code_dir` travel inside pickles, from now on.

    Modules in a ``site-packages`` below it are not the user's own; modules that are imported later are. A process that
    never calls this takes the folder of the running script (interactively: the working directory). Idempotent.
    """
    root = os.path.realpath(code_dir)
    if root not in _code_dirs:
        _code_dirs.append(root)
        _others.clear()
    register_own_modules()


def register_own_modules() -> None:
    """Register the user's own modules that have been imported since the last call."""
    import cloudpickle  # type: ignore[import-untyped]

    roots = tuple(f"{root}{os.sep}" for root in (_code_dirs or _caller_dirs()))
    for name, module in list(sys.modules.items()):
        file = vars(module).get("__file__") if isinstance(module, types.ModuleType) else None
        if name in _own_modules or not isinstance(file, str) or (name, file) in _others:
            continue
        if name.split(".")[0] in _OURS or _is_installed(file) or not os.path.realpath(file).startswith(roots):
            _others.add((name, file))
            continue
        _own_modules.add(name)
        if name != "__main__":  # always by value with cloudpickle
            cloudpickle.register_pickle_by_value(module)


class ByValue(Enum):
    """Which of the user's own code is pickled by value; the rest is pickled by reference to its module."""

    ALL = "classes, functions and modules"
    ALL_BUT_MODULES = "classes and functions"
    NOTHING = "none"


def dump(value: object, by_value: ByValue) -> bytes:
    """Return `value` pickled. Raises: whatever pickling it raises."""
    file = io.BytesIO()
    _pickler_class()(file, by_value).dump(value)
    return file.getvalue()


class _Origin(NamedTuple):
    """Where a reader would find a twin: `qualname` in `module` (empty: the module itself), from a file of `digest`."""

    module: str
    qualname: str
    digest: str


# `_rebuilt` and `_set_state` are named in pickles that other versions of this package read: they keep place and shape.


def _rebuilt(origin: tuple[str, str, str], build: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Return this process's twin of an own class, function or module; without one, what ``build(*args)`` makes."""
    twin = _twin(_Origin(*origin))
    return build(*args) if twin is None else twin


def _set_state(target: Any, change: tuple[tuple[str, str, str], Callable[[Any, Any], object], Any]) -> None:
    """Complete what `_rebuilt` has built; a twin is complete."""
    origin, set_state, state = change
    if _twin(_Origin(*origin)) is not target:
        set_state(target, state)


def _set_module_state(module: types.ModuleType, state: dict[str, Any]) -> None:
    vars(module).update(state)


@cache
def _pickler_class() -> Callable[[io.BytesIO, ByValue], pickle.Pickler]:
    """Return the pickler's class; made on first use, so that importing the SDK does not import cloudpickle."""
    import cloudpickle

    class OwnCodePickler(cloudpickle.Pickler):  # type: ignore[misc]
        def __init__(self, file: io.BytesIO, by_value: ByValue) -> None:
            super().__init__(file, protocol=PICKLE_PROTOCOL)
            self._by_value = by_value

        def reducer_override(self, obj: Any) -> Any:
            origin = _origin_of(obj)
            if origin is None:
                return super().reducer_override(obj)
            if not origin.qualname:
                return _reduced_module(obj, origin, self._by_value)
            if self._by_value is ByValue.NOTHING and origin.module != "__main__":
                return NotImplemented
            build, args, state, _items, _pairs, set_state = super().reducer_override(obj)
            return _rebuilt, (tuple(origin), build, args), (tuple(origin), set_state, state), None, None, _set_state

    return OwnCodePickler


def _reduced_module(module: types.ModuleType, origin: _Origin, by_value: ByValue) -> tuple[Any, ...]:
    """Return how `module` is pickled: with what of it can be, since nobody asked for the locks and clients in it."""
    if by_value is not ByValue.ALL:
        return importlib.import_module, (module.__name__,)
    state = {name: value for name, value in vars(module).items() if name not in _MACHINERY and _travels(value)}
    build = (tuple(origin), types.ModuleType, (module.__name__,))
    return _rebuilt, build, (tuple(origin), _set_module_state, state), None, None, _set_state


def _travels(value: object) -> bool:
    try:
        dump(value, ByValue.ALL_BUT_MODULES)
    except (ExecutionInterruptedError, InvocationCancelledError, InvocationTimedOutError):
        raise
    except Exception:
        return False
    return True


_MAIN_FILE = frozenset({"main", "__main__"})
_MACHINERY = frozenset({"__builtins__", "__cached__", "__loader__", "__path__", "__spec__"})


def _origin_of(obj: Any) -> _Origin | None:
    """Return the origin of an own class, function or module that its module knows by its name; None for all else."""
    if isinstance(obj, types.ModuleType):
        name, qualname = obj.__name__, ""
    elif isinstance(obj, type | types.FunctionType):
        name, qualname = obj.__module__, obj.__qualname__
    else:
        return None
    if name not in _own_modules or _found(sys.modules.get(name), qualname) is not obj:
        return None
    return _Origin(name, qualname, _digest(str(getattr(sys.modules[name], "__file__", ""))))


def _twin(origin: _Origin) -> Any:
    """Return what this process has at `origin`, if it comes from the same source; else None.

    The project's main file is ``__main__`` where it runs as a script and ``main`` in a worker.
    """
    if not origin.digest:
        return None
    for name in (origin.module, *(_MAIN_FILE - {origin.module} if origin.module in _MAIN_FILE else ())):
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str) and _digest(file) == origin.digest:
            return _found(sys.modules[name], origin.qualname)
    for root in _code_dirs:  # a module of the project that this worker has not imported yet
        stem = Path(root, *origin.module.split("."))
        if any(_digest(str(file)) == origin.digest for file in (stem.with_suffix(".py"), stem / "__init__.py")):
            return _found(importlib.import_module(origin.module), origin.qualname)
    return None


def _found(module: types.ModuleType | None, qualname: str) -> Any:
    """Return what `module` has under `qualname` (empty: the module), or None."""
    found: Any = module
    for name in filter(None, qualname.split(".")):
        found = getattr(found, name, None)
    return found


@cache
def _digest(file: str) -> str:
    """Return the SHA-256 of a source file in hex; empty when there is none to read."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""


def _is_installed(file: str) -> bool:
    return f"{os.sep}site-packages{os.sep}" in file or f"{os.sep}dist-packages{os.sep}" in file


def _caller_dirs() -> tuple[str, ...]:
    """Return the folder of the running script, else the working directory; none when that is a home or the root."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    prefixes = tuple(f"{os.path.realpath(prefix)}{os.sep}" for prefix in (sys.prefix, sys.base_prefix))
    if isinstance(file, str) and not _is_installed(file) and not os.path.realpath(file).startswith(prefixes):
        folder = Path(os.path.realpath(file)).parent
        for _ in filter(None, (getattr(main, "__package__", None) or "").split(".")):
            folder = folder.parent  # run by ``python -m``: the folder that holds the outermost package
    else:
        folder = Path.cwd()
    too_wide = {Path(folder.anchor), Path(os.path.realpath(os.path.expanduser("~")))}  # noqa: PTH111
    return () if folder in too_wide else (str(folder),)
