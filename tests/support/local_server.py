"""A local server in a process of its own, and a client of its REST API, for the tests that start and kill one."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from multinode_control_plane.adapters.local.data_dir import DataDirectory, prepare
from multinode_control_plane.adapters.local.deployment_id import deployment_id
from multinode_control_plane.adapters.local.keychain import LocalKeychain
from multinode_control_plane.adapters.local.workers import WorkerFolder, WorkerFolders
from multinode_protocol.process_tree import kill_all
from tests.support.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project"
Json = dict[str, Any]


def _killed(folder: WorkerFolder) -> bool:
    return kill_all(folder.record.mark, folder.process) and not folder.alive()


def spec(name: str, *, max_concurrency: int = 10, **execution: object) -> Json:
    """Return the FunctionSpec under which a function of the test project is registered."""
    return {
        "function_name": name,
        "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": max_concurrency},
        "execution_spec": {"max_retries": 0, "timeout_seconds": 600, "grace_seconds": 20, **execution},
    }


@dataclass
class LocalServer:
    """`environ` is added to the server's environment; `program` is how the interpreter finds the server."""

    data_dir: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ("-m", "multinode_control_plane.local_server")
    port: int = 0
    url: str = ""
    api_key: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def directory(self) -> DataDirectory:
        return prepare(self.data_dir)

    def start(self) -> None:
        """Start it and wait until it answers; from the second time on, on the port of the first."""
        read_end, write_end = os.pipe()
        command = [sys.executable, *self.program, "--quiet"]
        options = ["--data-dir", str(self.data_dir), "--port", str(self.port), "--ready-fd", str(write_end)]
        self.process = subprocess.Popen(
            command + options,
            pass_fds=(write_end,),
            env={**os.environ, **self.environ},
        )
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            told = json.loads(pipe.readline() or '{"error": "it ended without a word"}')
        assert "error" not in told, told
        self.port, self.url = told["port"], told["url"]
        if not self.api_key:
            self.api_key = LocalKeychain(self.directory.keys).make_key()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def clear_away(self) -> None:
        """Kill whatever the workers of a server that is gone still run; one may just be starting."""
        own = deployment_id(self.directory)
        for folder in WorkerFolders(self.directory.workers).all():
            if folder.record.deployment_id != own:
                continue
            until(partial(_killed, folder), f"the end of {folder.record.token}")

    # --- requests ---

    def send(self, method: str, path: str, body: object = None) -> tuple[int, Json]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.api_key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def get(self, path: str) -> Json:
        return self._ok("GET", path)

    def _ok(self, method: str, path: str, body: object = None) -> Json:
        status, answer = self.send(method, path, body)
        assert status == 200, answer
        return answer

    def deploy(self, *specs: Json, project: str = "tests", env_file: str | None = None) -> None:
        """Register a version of the test project's folder, with this very interpreter as its environment."""
        self.send("PUT", f"/projects/{project}")
        bundle = {"code_dir": str(PROJECT), "python": sys.executable, "env_file": env_file}
        body = {"default_docker_image": "local", "functions": list(specs), "local_bundle": bundle}
        self._ok("POST", f"/projects/{project}/versions", body)

    def start_function(self, name: str, *args: object, project: str = "tests") -> str:
        body = {"input": json.dumps([list(args), {}])}
        path = f"/projects/{project}/versions/latest/functions/{name}/invocations"
        return cast(str, self._ok("POST", path, body)["invocation_id"])

    def cancel(self, invocation_id: str) -> Json:
        return self._ok("PUT", f"/invocations/{invocation_id}/cancel")

    def invocation(self, invocation_id: str) -> Json:
        return self.get(f"/invocations/{invocation_id}")

    def terminated(self, invocation_id: str) -> Json:
        """Return the invocation once it is final and nothing of it runs any more."""
        until(lambda: self.invocation(invocation_id)["terminated"], f"the end of {invocation_id}")
        return self.invocation(invocation_id)

    def logs(self, invocation_id: str) -> list[Json]:
        return cast(list[Json], self.get(f"/invocations/{invocation_id}/logs")["lines"])
