"""Who may do what: every decision about authorisation is made here.

A caller is the holder of an API key, who may do everything, or an execution with its own token. An execution may report
its own start, progress and end; start, read, list and cancel the invocations whose parent it is, and read their logs;
and read the versions of its own project. What it may not see does not exist for it.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

from multinode_control_plane.core import tokens
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import Invocation, ParentRef
from multinode_control_plane.core.tokens import TokenScope
from multinode_control_plane.ports import Keychain
from multinode_control_plane.services.context import Context
from multinode_protocol.error_codes import ErrorCode

MAX_CREDENTIAL_CHARS = 2048
API_KEY = re.compile(r"mn_([0-9a-f]{8})_[A-Za-z0-9_-]{43,128}")
UNKNOWN_KEY_HASH = "0" * 64
"""Compared with if no key has the id, which then takes as long as for a known one. Nobody can find a key for it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: `scope` comes from an execution's token, and is None for an API key."""

    scope: TokenScope | None = None


def identify(keychain: Keychain, authorization: str | None) -> Caller:
    """Return who sent this ``Authorization`` header. Raises Refused(API_KEY_IS_INVALID)."""
    scheme, _, credential = (authorization or "").partition(" ")
    credential = credential.strip(" ")
    if scheme.lower() != "bearer" or len(credential) > MAX_CREDENTIAL_CHARS:
        raise Refused(ErrorCode.API_KEY_IS_INVALID)
    if credential.startswith(tokens.PREFIX):
        scope = tokens.read(keychain.token_secret(), credential)
        if scope is not None:
            return Caller(scope)
    elif _is_active_key(keychain, credential):
        return Caller()
    raise Refused(ErrorCode.API_KEY_IS_INVALID)


def _is_active_key(keychain: Keychain, credential: str) -> bool:
    match = API_KEY.fullmatch(credential)
    if match is None:
        return False
    digest = hashlib.sha256(credential.encode()).hexdigest()
    hashes = keychain.key_hashes(match[1]) or [UNKNOWN_KEY_HASH]
    # Every hash is compared, so that the time does not tell which one matched.
    return sum(hmac.compare_digest(digest, known) for known in hashes) > 0


def require_key(caller: Caller) -> None:
    """Refuse an execution's token: API_KEY_IS_INVALID."""
    if caller.scope is not None:
        raise Refused(ErrorCode.API_KEY_IS_INVALID)


def require_living_execution(context: Context, caller: Caller) -> None:
    """Refuse the token of an execution that is TERMINATED, or that no longer exists: API_KEY_IS_INVALID."""
    scope = caller.scope
    if scope is None:
        return
    stored = context.store.get(invocation_key(scope.invocation_id))
    execution = None if stored is None else stored.record.execution(scope.execution_id)
    if execution is None or not execution.open:
        raise Refused(ErrorCode.API_KEY_IS_INVALID)


def require_project(caller: Caller, project_name: str) -> None:
    """Refuse a project that the caller may not see: PROJECT_DOES_NOT_EXIST."""
    if caller.scope is not None and caller.scope.project_name != project_name:
        raise Refused(ErrorCode.PROJECT_DOES_NOT_EXIST)


def require_own_execution(caller: Caller, invocation: Invocation, execution_id: str) -> None:
    """Refuse an execution that is not the caller's own: INVOCATION_, EXECUTION_DOES_NOT_EXIST."""
    if caller.scope is None:
        return
    if caller.scope.invocation_id != invocation.invocation_id:
        raise Refused(ErrorCode.INVOCATION_DOES_NOT_EXIST)
    if caller.scope.execution_id != execution_id:
        raise Refused(ErrorCode.EXECUTION_DOES_NOT_EXIST)


def require_child(caller: Caller, invocation: Invocation) -> None:
    """Refuse an invocation that an execution did not start: INVOCATION_DOES_NOT_EXIST."""
    scope = caller.scope
    if scope is None:
        return
    parent = invocation.parent
    if parent is None or parent.invocation_id != scope.invocation_id:
        raise Refused(ErrorCode.INVOCATION_DOES_NOT_EXIST)


def parent_for(caller: Caller, asked: ParentRef | None) -> ParentRef | None:
    """Return the parent of what the caller starts or lists; for an execution that is always its own invocation.

    Raises Refused(PARENT_INVOCATION_DOES_NOT_EXIST) when an execution names another one.
    """
    scope = caller.scope
    if scope is None:
        return asked
    own = ParentRef(scope.function_name, scope.invocation_id)
    if asked not in (None, own):
        raise Refused(ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST)
    return own
