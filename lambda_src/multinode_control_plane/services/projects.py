"""Projects and their versions, which a deploy creates and an undeploy asks to delete."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from multinode_control_plane.core.codec import encode
from multinode_control_plane.core.errors import Refused, invalid
from multinode_control_plane.core.keys import ALL, Index, project_key, version_key, versions_prefix
from multinode_control_plane.core.names import is_project_name, is_version_id
from multinode_control_plane.core.records import FunctionSpec, LocalBundle, Project, Version
from multinode_control_plane.ports import ABSENT, Check, Put, Stored
from multinode_control_plane.services import schedules
from multinode_control_plane.services.context import Context, commit_with_retries
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.ids import LATEST

PROJECTS_AT_ONCE = 100
MAX_VERSION_BYTES = 350_000
"""A version is one stored item; DynamoDB allows 400 KB, including names and index keys."""


@dataclass(frozen=True, slots=True)
class VersionRequest:
    """The version that a deploy registers: a Version without its id and time."""

    default_docker_image: str
    functions: tuple[FunctionSpec, ...]
    local_bundle: LocalBundle | None
    task_definition: str | None


def load(context: Context, project_name: str) -> Project:
    """Return the project. Raises Refused(PROJECT_DOES_NOT_EXIST)."""
    return _stored(context, project_name).record


def _stored(context: Context, project_name: str) -> Stored[Project]:
    stored = context.store.get(project_key(project_name)) if is_project_name(project_name) else None
    if stored is None:
        raise Refused(ErrorCode.PROJECT_DOES_NOT_EXIST)
    return stored


def create(context: Context, project_name: str) -> Project:
    """Return the new project. Raises Refused: PROJECT_ALREADY_EXISTS, PROJECT_IS_BEING_DELETED."""

    def attempt() -> Project:
        existing = context.store.get(project_key(project_name))
        if existing is not None:
            deleting = existing.record.deletion_requested_at is not None
            raise Refused(ErrorCode.PROJECT_IS_BEING_DELETED if deleting else ErrorCode.PROJECT_ALREADY_EXISTS)
        project = Project(project_name, context.clock.now())
        context.store.commit([Put(project, ABSENT)])
        return project

    return commit_with_retries(context, attempt)


def list_all(context: Context) -> Sequence[Project]:
    """Return every project by name, including those being deleted. The list may lag behind the newest change."""
    projects: list[Project] = []
    offset = None
    while True:
        page = context.store.list(Index.PROJECTS, ALL, limit=PROJECTS_AT_ONCE, offset=offset)
        projects += [stored.record for stored in page.items if isinstance(stored.record, Project)]
        offset = page.next_offset
        if offset is None:
            return projects


def request_deletion(context: Context, project_name: str) -> Project:
    """Return the project marked for deletion: it accepts nothing new, and the sweep cancels and deletes its contents.

    Its schedules end in the same commit. Idempotent. Raises Refused(PROJECT_DOES_NOT_EXIST).
    """

    def attempt() -> Project:
        stored = _stored(context, project_name)
        if stored.record.deletion_requested_at is not None:
            return stored.record
        marked = replace(stored.record, deletion_requested_at=context.clock.now())
        context.store.commit([Put(marked, stored.version), *schedules.removal_writes(context, project_name)])
        return marked

    return commit_with_retries(context, attempt)


def create_version(context: Context, project_name: str, request: VersionRequest) -> Version:
    """Return the project's new version, now the latest. Called twice, it creates two equal versions.

    Its schedules replace those of the previous version in the same commit.
    Raises Refused: PROJECT_DOES_NOT_EXIST, PROJECT_IS_BEING_DELETED; REQUEST_IS_INVALID if the version is too large.
    """

    def attempt() -> Version:
        stored = _stored(context, project_name)
        if stored.record.deletion_requested_at is not None:
            raise Refused(ErrorCode.PROJECT_IS_BEING_DELETED)
        version = Version(
            project_name,
            context.ids.new("ver"),
            context.clock.now(),
            request.default_docker_image,
            request.functions,
            request.local_bundle,
            request.task_definition,
        )
        _check_size(version)
        # The check closes the race with a deletion, which changes the project: this commit then meets a Conflict.
        condition = Check(project_key(project_name), stored.version)
        context.store.commit([Put(version, ABSENT), condition, *schedules.registration_writes(context, version)])
        return version

    return commit_with_retries(context, attempt)


def _check_size(version: Version) -> None:
    size = len(json.dumps(encode(version), ensure_ascii=False).encode())
    if size > MAX_VERSION_BYTES:
        raise invalid("functions", f"take {size} bytes in all", f"at most {MAX_VERSION_BYTES} bytes")


def load_version(context: Context, project_name: str, reference: str) -> Version:
    """Return the version with this id, or for ``latest`` the newest, in one strongly consistent read.

    Raises Refused: PROJECT_DOES_NOT_EXIST, VERSION_DOES_NOT_EXIST.
    """
    if is_project_name(project_name):
        if reference == LATEST:
            newest = context.store.query(versions_prefix(project_name), limit=1, newest_first=True)
            if newest:
                return newest[0].record
        elif is_version_id(reference):
            stored = context.store.get(version_key(project_name, reference))
            if stored is not None:
                return stored.record
    load(context, project_name)
    raise Refused(ErrorCode.VERSION_DOES_NOT_EXIST)


def load_function(
    context: Context, project_name: str, reference: str, function_name: str
) -> tuple[Version, FunctionSpec]:
    """Return a version and its function with this name. Raises Refused like `load_version`: FUNCTION_DOES_NOT_EXIST."""
    version = load_version(context, project_name, reference)
    spec = version.function(function_name)
    if spec is None:
        raise Refused(ErrorCode.FUNCTION_DOES_NOT_EXIST)
    return version, spec


def list_versions(context: Context, project_name: str) -> Sequence[Version]:
    """Return the project's versions, newest first. Raises Refused(PROJECT_DOES_NOT_EXIST)."""
    load(context, project_name)
    return [stored.record for stored in context.store.query(versions_prefix(project_name), newest_first=True)]
