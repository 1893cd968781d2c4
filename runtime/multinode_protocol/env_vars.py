"""Names of the environment variables that tell a container which execution it carries out.

Everybody who may describe the container can read their values: ids and a token of narrow scope, nothing else.
"""

__all__ = [
    "API_KEY",
    "API_URL",
    "CODE_DIR",
    "DATA_DIR",
    "EXECUTION_ID",
    "FUNCTION_NAME",
    "GRACE_S",
    "INHERITED",
    "INVOCATION_ID",
    "LOG_FORMAT",
    "NOT_BEFORE_MS",
    "PROJECT_NAME",
    "VERSION_ID",
    "WORKER_IDENTIFIER",
]

API_URL = "MULTINODE_API_URL"
API_KEY = "MULTINODE_API_KEY"
"""For a user: the deployment's key. In a container: the execution's own token."""
PROJECT_NAME = "MULTINODE_PROJECT_NAME"
VERSION_ID = "MULTINODE_VERSION_ID"
FUNCTION_NAME = "MULTINODE_FUNCTION_NAME"
INVOCATION_ID = "MULTINODE_INVOCATION_ID"
EXECUTION_ID = "MULTINODE_EXECUTION_ID"
CODE_DIR = "MULTINODE_CODE_DIR"
"""The folder that holds the project's ``main.py``; default: the working directory."""
DATA_DIR = "MULTINODE_DATA_DIR"
"""For a user: the folder of the local deployment."""
GRACE_S = "MULTINODE_GRACE_S"
"""Seconds between the interruption of the user's code and the killing of its process group."""
NOT_BEFORE_MS = "MULTINODE_NOT_BEFORE_MS"
"""The worker holds the start of the code until then (ms since the epoch): a retry's delay overlaps start-up."""
LOG_FORMAT = "MULTINODE_LOG_FORMAT"
"""``json``: the worker writes each log line as ``{"t": ms, "s": stream, "m": text}``. Otherwise the bare text."""
WORKER_IDENTIFIER = "MULTINODE_WORKER_IDENTIFIER"
"""The container's identifier, where the backend knows it before the start."""

INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
"""What user code gets of the environment around it, on the machine of a local server: no keys, no settings."""
