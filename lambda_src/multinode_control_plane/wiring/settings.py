"""What both deployments are told from outside: their settings, and which Multinode is installed."""

from importlib.metadata import PackageNotFoundError, version


class SettingIsInvalid(Exception):
    """An environment variable is missing or has a value that it cannot have. The text says which it may have."""


def multinode_version() -> str:
    """Return the version of the installed Multinode; "unknown" where it runs without being installed."""
    try:
        return version("multinode")
    except PackageNotFoundError:
        return "unknown"
