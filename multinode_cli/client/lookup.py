"""Names and ids as typed -> what the control plane stores under them, or "did you mean"."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from multinode.errors import (
    InvocationDoesNotExist,
    ParameterValidationError,
    ProjectDoesNotExist,
    ProjectNameIsTooLong,
    RequestIsInvalid,
    VersionDoesNotExist,
)
from multinode_cli.client.api import Api, ControlPlaneAway
from multinode_cli.console.suggestions import unknown_id, unknown_name
from multinode_cli.console.text import ago, one_line
from multinode_cli.errors import UsageFailure
from multinode_protocol.ids import LATEST
from multinode_protocol.messages import (
    ExecutionSummary,
    FunctionInfo,
    InvocationInfo,
    ProjectInfo,
    VersionInfo,
)

NOT_A_NAME = (ProjectDoesNotExist, ProjectNameIsTooLong, RequestIsInvalid, ParameterValidationError)
SEARCH_REQUESTS = 30
"""How many requests a better error message is worth."""
KINDS = {"inv-": "an invocation", "exe-": "an execution", "ver-": "a version"}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an invocation is expected: whatever is not None must match."""

    project_name: str | None = None
    version_id: str | None = None
    function_name: str | None = None


class Lookup:
    """`arguments` is the command line after the program's name: messages show it corrected.

    Every method raises UsageFailure if nothing is found.
    """

    def __init__(self, api: Api, arguments: Sequence[str]) -> None:
        self._api = api
        self._arguments = arguments

    def project(self, name: str) -> ProjectInfo:
        try:
            return self._api.project(name)
        except NOT_A_NAME as error:
            raise self._no_project(name) from error

    def version(self, project_name: str, version_id: str = LATEST) -> VersionInfo:
        """Return a version of a project; ``latest`` is the newest."""
        try:
            return self._api.version(project_name, version_id)
        except NOT_A_NAME as error:
            self.project(project_name)
            raise self._no_version(project_name, version_id) from error
        except VersionDoesNotExist as error:
            raise self._no_version(project_name, version_id) from error

    def function(self, version: VersionInfo, name: str) -> FunctionInfo:
        """Return a function of `version`."""
        for function in version["functions"]:
            if function["function_name"] == name:
                return function
        names = [function["function_name"] for function in version["functions"]]
        where = f"function in project {version['project_name']}"
        raise UsageFailure(unknown_name(where, name, names, self._arguments))

    def invocation(self, invocation_id: str, scope: Scope | None = None) -> InvocationInfo:
        """Return an invocation. Raises UsageFailure also when it is not where `scope` says."""
        self.check_kind(invocation_id, "inv-")
        try:
            invocation = self._api.invocation(invocation_id)
        except (InvocationDoesNotExist, RequestIsInvalid, ParameterValidationError) as error:
            raise self._no_invocation(invocation_id) from error
        self._check_scope(invocation, scope or Scope())
        return invocation

    def execution(self, invocation: InvocationInfo, wanted: str) -> ExecutionSummary:
        """Return an execution by its id, or the last one of an attempt by its number, which counts from 1."""
        executions = invocation["executions"]
        for execution in reversed(executions):
            if execution["execution_id"] == wanted or str(execution.get("attempt")) == wanted:
                return execution
        self.check_kind(wanted, "exe-")
        ids = [execution["execution_id"] for execution in executions]
        attempts = ", ".join(f"{execution.get('attempt')} ({execution['execution_id']})" for execution in executions)
        there = f"Its attempts: {attempts}" if attempts else "It has no attempts yet"
        message = unknown_id(f"execution of {invocation['invocation_id']}", wanted, ids, self._arguments)
        raise UsageFailure(message or f"{invocation['invocation_id']} has no execution {one_line(wanted)!r}. {there}")

    def check_kind(self, wanted: str, prefix: str) -> None:
        """Refuse the id of something else, saying what it is."""
        for other, kind in KINDS.items():
            if other != prefix and wanted.startswith(other):
                raise UsageFailure(f"{one_line(wanted)} is the id of {kind}; give the id of {KINDS[prefix]}: {prefix}…")

    def _no_project(self, name: str) -> UsageFailure:
        names = [project["project_name"] for project in self._api.projects()]
        if not names:
            return UsageFailure(
                f"there is no project named {one_line(name)!r}: there are no projects yet. Create one: "
                "multinode deploy CODE_PATH --project-name NAME"
            )
        return UsageFailure(unknown_name("project", name, names, self._arguments))

    def _no_version(self, project_name: str, version_id: str) -> UsageFailure:
        self.check_kind(version_id, "ver-")
        versions = self._api.versions(project_name)
        if not versions:
            return UsageFailure(
                f"project {project_name} has no version yet. Deploy one: "
                f"multinode deploy CODE_PATH --project-name {project_name}"
            )
        ids = [version["version_id"] for version in versions]
        message = unknown_id(f"version of project {project_name}", version_id, [LATEST, *ids], self._arguments)
        newest = f"The newest is {ids[0]}, {ago(time.time() - versions[0]['creation_time'])}"
        return UsageFailure(message or f"project {project_name} has no version {one_line(version_id)!r}. {newest}")

    def _no_invocation(self, invocation_id: str) -> UsageFailure:
        message = unknown_id("invocation", invocation_id, list(self._recent_invocations()), self._arguments)
        return UsageFailure(
            message
            or f"there is no invocation {one_line(invocation_id)!r}. To list those of a function: "
            "multinode list --project-name P --function-name F"
        )

    def _recent_invocations(self) -> Iterator[str]:
        """Yield ids of the newest invocations of the newest versions, as far as `SEARCH_REQUESTS` requests go."""
        left = SEARCH_REQUESTS
        try:
            for project in self._api.projects()[:SEARCH_REQUESTS]:
                left -= 1
                if left <= 0:
                    return
                version = self._api.version(project["project_name"], LATEST)
                for function in version["functions"]:
                    left -= 1
                    if left <= 0:
                        return
                    page = self._api.invocations(
                        version["project_name"], version["version_id"], function["function_name"]
                    )
                    yield from (invocation["invocation_id"] for invocation in page["invocations"])
        except (ControlPlaneAway, ProjectDoesNotExist, VersionDoesNotExist):
            return  # then the message has no suggestion

    def _check_scope(self, invocation: InvocationInfo, scope: Scope) -> None:
        for field, what in (("project_name", "project"), ("version_id", "version"), ("function_name", "function")):
            wanted, actual = getattr(scope, field), invocation[field]  # type: ignore[literal-required]
            if wanted is not None and wanted != actual and (field, wanted) != ("version_id", LATEST):
                raise UsageFailure(
                    f"{invocation['invocation_id']} belongs to {what} {actual}, not to {one_line(wanted)}"
                )
