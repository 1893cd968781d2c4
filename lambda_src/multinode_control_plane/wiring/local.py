"""The local deployment, put together from one data directory."""

import contextlib
import functools
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.database import Database
from multinode_control_plane.adapters.local.event_publisher import LogEventPublisher
from multinode_control_plane.adapters.local.feed import Feed
from multinode_control_plane.adapters.local.keychain import LocalKeychain
from multinode_control_plane.adapters.local.logs import LocalLogs
from multinode_control_plane.adapters.local.processes import LocalCompute
from multinode_control_plane.adapters.local.sqlite import Outbox, SqliteStore
from multinode_control_plane.adapters.local.sweep_timer import SweepTimer
from multinode_control_plane.adapters.local.waiter import LocalWaiter
from multinode_control_plane.adapters.local.workers import LaunchRecord
from multinode_control_plane.adapters.system import SystemClock, SystemIds
from multinode_control_plane.api.ports import API_VERSION, ApiPorts
from multinode_control_plane.core.external_transitions import ContainerExit
from multinode_control_plane.core.keys import ALL, Index, versions_prefix
from multinode_control_plane.core.records import Project
from multinode_control_plane.core.tokens import execution_token
from multinode_control_plane.ports import Conflict, Write
from multinode_control_plane.services import task_events
from multinode_control_plane.services.context import Context
from multinode_control_plane.services.drain import remove_invocation
from multinode_control_plane.services.reactor import Reactor, react
from multinode_control_plane.services.sweep import sweep
from multinode_control_plane.wiring.settings import SettingIsInvalid, multinode_version
from multinode_protocol.messages import DeploymentInfo

CLEAN_EVERY_S = 600.0
RETENTION_DAYS, DEFAULT_RETENTION_DAYS = "MULTINODE_RETENTION_DAYS", 30
FORGOTTEN_AT_ONCE = 100
FORGET_MORE_AFTER_S = 10.0
BUNDLE_GRACE_S = 3600.0
"""How old a bundle without a version must be before it is removed: its deploy may still be under way."""
STOP_TIMEOUT_S = 20.0


class LocalDeployment:
    """All parts of a local deployment. `api_ports` is for its API."""

    def __init__(self, directory: DataDirectory, url: str, environ: Mapping[str, str]) -> None:
        """Open the data directory; `url` is where workers reach the API.

        Raises DataDirectoryError, SettingIsInvalid.
        """
        self._directory = directory
        self._retention = _retention(environ)
        self._database = Database(directory.state)
        self._store = store = SqliteStore(self._database)
        self.context = Context(store, SystemClock(), SystemIds(), fires_schedules=True)
        self.keychain = LocalKeychain(directory.keys)
        self.logs = LocalLogs(directory.logs)
        self.waiter = LocalWaiter()
        info = DeploymentInfo(
            backend="local",
            api_version=API_VERSION,
            multinode_version=multinode_version(),
            data_dir=str(directory.root),
        )
        self.api_ports = ApiPorts(self.context, self.keychain, self.logs, self.waiter, info)
        self.compute = LocalCompute(directory, environ, self._worker_ended)
        reactor = Reactor(
            self.context,
            self.compute,
            LogEventPublisher(),
            lambda *of: execution_token(self.keychain.token_secret(), *of),
            lambda: url,
        )
        self._feed = Feed(Outbox(self._database), functools.partial(react, reactor))
        self._sweep_timer = SweepTimer(self._sweep, self.context.clock)
        self._clean_at = 0.0
        store.subscribe(self._committed)

    def start(self) -> None:
        """Take over the workers of an earlier server, then react to changes and act on what is due."""
        self.compute.start()
        self._feed.start()
        self._sweep_timer.start()

    def stop(self) -> None:
        """Finish the work under way and release the data directory. Workers keep running."""
        self.waiter.close()
        self._sweep_timer.stop(STOP_TIMEOUT_S)
        self._feed.stop(STOP_TIMEOUT_S)
        self.compute.close()
        self._database.close()

    def _committed(self, writes: Sequence[Write]) -> None:
        self._feed.committed()
        self._sweep_timer.committed(writes)
        self.waiter.committed(writes)

    def _worker_ended(self, record: LaunchRecord, exit: ContainerExit) -> None:  # noqa: A002 - the port's word
        task_events.container_ended(self.context, record.invocation_id, record.execution_id, exit, worker=record.worker)

    def _sweep(self, reconcile: bool) -> datetime | None:
        report = sweep(self.context, self.compute, self.logs, reconcile=reconcile)
        if time.monotonic() >= self._clean_at:
            self._clean()
            self._clean_at = time.monotonic() + (FORGET_MORE_AFTER_S if self._forget() else CLEAN_EVERY_S)
        return report.next_due

    def _clean(self) -> None:
        """Remove files that nothing refers to any more."""
        self.compute.prune()
        candidates = [folder for folder in self._directory.bundles.iterdir() if _age_s(folder) > BUNDLE_GRACE_S]
        if not candidates:
            return
        used = self._bundles_in_use()
        for folder in candidates:
            if folder.name not in used:
                shutil.rmtree(folder, ignore_errors=True)

    def _forget(self) -> bool:
        """Remove invocations whose retention is over; return True if there may be more."""
        if self._retention is None:
            return False
        over = self._store.ended_before(self.context.clock.now() - self._retention, limit=FORGOTTEN_AT_ONCE)
        for stored in over:
            with contextlib.suppress(Conflict):  # its project is being deleted, and removes it
                remove_invocation(self.context, self.logs, stored)
        return len(over) == FORGOTTEN_AT_ONCE

    def _bundles_in_use(self) -> set[str]:
        """Return every folder name in the path to any version's code: one path may be spelled in several ways."""
        used: set[str] = set()
        offset: str | None = None
        while True:
            page = self.context.store.list(Index.PROJECTS, ALL, limit=100, offset=offset)
            for stored in page.items:
                if isinstance(stored.record, Project):
                    for held in self.context.store.query(versions_prefix(stored.record.project_name)):
                        if held.record.local_bundle is not None:
                            used.update(Path(held.record.local_bundle.code_dir).parts)
            if page.next_offset is None:
                return used
            offset = page.next_offset


def _retention(environ: Mapping[str, str]) -> timedelta | None:
    """Return how long invocations are kept after their end; None keeps them for ever. Raises SettingIsInvalid."""
    given = environ.get(RETENTION_DAYS) or str(DEFAULT_RETENTION_DAYS)
    if not (given.isascii() and given.isdigit() and len(given) <= 5):
        raise SettingIsInvalid(
            f"{RETENTION_DAYS} is {given!r}: set it to whole days from 0, which keeps everything, to 99999"
        )
    return timedelta(days=int(given)) if int(given) else None


def _age_s(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
