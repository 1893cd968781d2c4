"""Who this worker is, read from its environment."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from multinode_protocol import env_vars
from multinode_protocol.limits import MAX_GRACE_S

_ECS_METADATA = "ECS_CONTAINER_METADATA_URI_V4"
_ECS_PATIENCE_S = 2.0

_NEEDED = (
    env_vars.API_URL,
    env_vars.API_KEY,
    env_vars.PROJECT_NAME,
    env_vars.VERSION_ID,
    env_vars.FUNCTION_NAME,
    env_vars.INVOCATION_ID,
    env_vars.EXECUTION_ID,
)


class IdentityIsIncomplete(Exception):
    """The environment does not say which execution this is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The execution that this worker carries out, and how."""

    project_name: str
    version_id: str
    function_name: str
    invocation_id: str
    execution_id: str
    code_dir: Path
    grace_s: float = MAX_GRACE_S
    """Seconds between the interruption of the user's code and the killing of its process group."""
    not_before_ms: int | None = None
    json_logs: bool = False
    worker_identifier: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Return the identity that `environ` spells out. Raises IdentityIsIncomplete, naming the variable."""
        missing = [name for name in _NEEDED if not environ.get(name)]
        if missing:
            raise IdentityIsIncomplete(
                f"{', '.join(missing)} not set: this program is started by Multinode, with the variables that say"
                " which execution it carries out"
            )
        return cls(
            project_name=environ[env_vars.PROJECT_NAME],
            version_id=environ[env_vars.VERSION_ID],
            function_name=environ[env_vars.FUNCTION_NAME],
            invocation_id=environ[env_vars.INVOCATION_ID],
            execution_id=environ[env_vars.EXECUTION_ID],
            code_dir=Path(os.path.abspath(environ.get(env_vars.CODE_DIR) or ".")),  # noqa: PTH100 symlinks stay
            grace_s=_number(environ, env_vars.GRACE_S, MAX_GRACE_S),
            not_before_ms=int(_number(environ, env_vars.NOT_BEFORE_MS, 0)) or None,
            json_logs=environ.get(env_vars.LOG_FORMAT) == "json",
            worker_identifier=environ.get(env_vars.WORKER_IDENTIFIER) or None,
        )


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise IdentityIsIncomplete(f"{name} is {text!r}: it must be a number, 0 or more")
    return number


def container_identifier(identity: Identity, environ: Mapping[str, str]) -> str | None:
    """Return what the platform calls this container: from the environment, on ECS the task's ARN. None: unknown.

    Source: docs.aws.amazon.com, "Amazon ECS task metadata endpoint version 4", path ``/task``.
    """
    base = environ.get(_ECS_METADATA, "")
    if identity.worker_identifier is not None or not base.startswith("http://"):
        return identity.worker_identifier
    import json
    from urllib.request import urlopen

    try:
        with urlopen(f"{base}/task", timeout=_ECS_PATIENCE_S) as answer:  # noqa: S310 the scheme is checked above
            arn = json.load(answer).get("TaskARN")
    except (OSError, ValueError, AttributeError):  # the identifier only helps to repair a lost launch answer
        return None
    return arn if isinstance(arn, str) else None
