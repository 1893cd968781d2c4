"""The address of a function: project, version and name, and the invocation that becomes the parent of what it starts.

Inside a worker, the environment says which invocation is running. It becomes the parent of what it starts in its own
project, and that runs the same version, even if a newer one has been deployed since.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from multinode.errors import InvalidUseError
from multinode.transport import path
from multinode_protocol import env_vars
from multinode_protocol.ids import LATEST
from multinode_protocol.messages import ParentInvocation

__all__ = ["FunctionAddress", "address_of"]


@dataclass(frozen=True, slots=True)
class FunctionAddress:
    project_name: str
    version_id: str
    """May be ``latest``: the newest at the time of each request."""
    function_name: str
    parent: ParentInvocation | None

    @property
    def version_path(self) -> str:
        return path("projects", self.project_name, "versions", self.version_id)

    @property
    def invocations_path(self) -> str:
        return f"{self.version_path}{path('functions', self.function_name, 'invocations')}"


def address_of(
    project_name: str | None, version_id: str | None, function_name: str, environ: Mapping[str, str] = os.environ
) -> FunctionAddress:
    """Return the address of a function of `project_name` (None: of the project that this code belongs to).

    Raises: InvalidUseError when that is unknown, because this code does not run in a worker.
    """
    own_project = environ.get(env_vars.PROJECT_NAME)
    own_version = environ.get(env_vars.VERSION_ID)
    own_function = environ.get(env_vars.FUNCTION_NAME)
    own_invocation = environ.get(env_vars.INVOCATION_ID)
    in_worker = own_project and own_version and own_function and own_invocation
    if in_worker and project_name in {None, own_project}:
        parent = ParentInvocation(function_name=str(own_function), invocation_id=str(own_invocation))
        return FunctionAddress(str(own_project), version_id or str(own_version), function_name, parent)
    if project_name is not None:
        return FunctionAddress(project_name, version_id or LATEST, function_name, None)
    raise InvalidUseError(
        f"{function_name!r} is only defined here, so it is not known which deployed project's function is meant. "
        f"Deploy it (multinode deploy . --project-name NAME) and use get_deployed_function('NAME', {function_name!r}); "
        "or run it right here with call_local(...)"
    )
