"""Server and workers killed at random under load: what was acknowledged ends, once at a time, with its result.

MULTINODE_KILLS is how often (`make kills KILLS=500`). A failure names the seed of its random choices.
"""

import json
import os
import random
import signal
import time
import urllib.error
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from uuid import uuid4

import pytest

from multinode_control_plane.adapters.local.workers import WorkerFolder, WorkerFolders
from tests.support.local_server import Json, LocalServer, spec
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

KILLS = int(os.environ.get("MULTINODE_KILLS", "16"))
SEED = int(os.environ.get("MULTINODE_KILLS_SEED", "1"))
FUNCTION = "/projects/tests/versions/latest/functions/alone/invocations"
UNFINISHED = 10
"""How many invocations are kept going: more than have a slot."""
KILLS_OF_ONE = 2
"""Workers that one invocation loses at most: so many retries has it."""
ONE_IN = 4
"""So many kills hit a worker until one hits the server."""


@dataclass
class Load:
    """Keeps invocations going on a server that comes and goes; a start that was not acknowledged is sent again."""

    server: LocalServer
    notes: Path
    acknowledged: dict[str, Json] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    def top_up(self) -> None:
        self.running = [each for each in self.running if not self._ended(each)]
        new = [f"inv-{uuid4().hex}" for _ in range(UNFINISHED - len(self.running) - len(self.unanswered))]
        waiting, self.unanswered = [*self.unanswered, *new], []
        for invocation_id in waiting:
            body = {"input": json.dumps([[str(self.notes), invocation_id, 0.4], {}]), "invocation_id": invocation_id}
            answer = self._send("POST", FUNCTION, body)
            if answer is None:
                self.unanswered.append(invocation_id)
            else:
                self.acknowledged[invocation_id] = answer
                self.running.append(invocation_id)

    def _ended(self, invocation_id: str) -> bool:
        answer = self._send("GET", f"/invocations/{invocation_id}")
        return answer is not None and answer["terminated"]

    def _send(self, method: str, path: str, body: object = None) -> Json | None:
        """Return the answer; None when none came, or the server says that it is stopping or just starting."""
        try:
            status, answer = self.server.send(method, path, body)
        except (OSError, HTTPException, urllib.error.URLError):
            return None
        assert status == 200 or status >= 500, answer
        return answer if status == 200 else None


def victims(server: LocalServer, killed: Counter[str]) -> list[WorkerFolder]:
    folders = WorkerFolders(server.directory.workers).all()
    return [each for each in folders if each.alive() and killed[each.record.invocation_id] < KILLS_OF_ONE]


def kill_one(folder: WorkerFolder) -> bool:
    """Kill a worker that may have ended meanwhile; its number is not another's, since its lock is still held."""
    process = folder.process
    if process is None or not folder.alive():
        return False
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def test_what_was_acknowledged_survives_kills_at_random(server: LocalServer, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    killed: Counter[str] = Counter()
    server_kills = 0
    server.deploy(spec("alone", max_concurrency=6, max_retries=KILLS_OF_ONE))
    load = Load(server, tmp_path)
    print(f"\nseed {SEED}")
    while killed.total() + server_kills < KILLS:
        load.top_up()
        time.sleep(chance.uniform(0, 0.4))
        if chance.randrange(ONE_IN) == 0:
            server.kill()
            server_kills += 1
            time.sleep(chance.choice([0, 0, chance.uniform(0, 1)]))
            server.start()
        elif (alive := victims(server, killed)) and kill_one(victim := chance.choice(alive)):
            killed[victim.record.invocation_id] += 1

    def all_answered() -> bool:
        load.top_up()
        return not load.unanswered

    until(all_answered, "the answers to all starts")

    ended = {invocation_id: server.terminated(invocation_id) for invocation_id in load.acknowledged}
    notes = {each: (tmp_path / each).read_text().splitlines() for each in ended}
    assert len(ended) > KILLS // 2
    for invocation_id, invocation in ended.items():
        story = (invocation_id, killed[invocation_id], notes[invocation_id], invocation)
        assert (invocation["status"], invocation["result"]) == ("SUCCEEDED", json.dumps(invocation_id)), story
        assert invocation["num_failed_attempts"] <= killed[invocation_id], story
        # One at a time, and each but the last cut short by a kill of its worker, if perhaps after its end.
        assert "overlap" not in notes[invocation_id], story
        assert notes[invocation_id][-1] == "end", story
        assert notes[invocation_id].count("begin") <= 1 + killed[invocation_id], story
    folders = list(WorkerFolders(server.directory.workers).all())
    assert [each.record.token for each in folders if each.exit is None or each.alive()] == []
    print(f"{killed.total()} workers and {server_kills} servers killed, {len(ended)} invocations")
