"""What the wiring of both backends shares: the error for a bad setting, and the installed version."""

from importlib.metadata import PackageNotFoundError, version


class SettingIsInvalid(Exception):
    """An environment variable is missing or has an invalid value. The text says which values are allowed."""


def multinode_version() -> str:
    """Return the version of the installed Multinode; "unknown" if it runs without being installed."""
    try:
        return version("multinode")
    except PackageNotFoundError:
        return "unknown"
