"""What the worker reads from its environment and from the kernel."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from multinode.worker.identity import Identity, IdentityIsIncomplete, container_identifier
from multinode.worker.memory import oom_kills

ENVIRON = {
    "MULTINODE_API_URL": "https://example.com",
    "MULTINODE_API_KEY": "mnx_token",
    "MULTINODE_PROJECT_NAME": "demo",
    "MULTINODE_VERSION_ID": "ver-1",
    "MULTINODE_FUNCTION_NAME": "work",
    "MULTINODE_INVOCATION_ID": "inv-1",
    "MULTINODE_EXECUTION_ID": "exe-1",
}


def test_the_ids_suffice_and_the_rest_has_defaults() -> None:
    identity = Identity.from_environment(ENVIRON)
    assert identity == Identity(
        project_name="demo",
        version_id="ver-1",
        function_name="work",
        invocation_id="inv-1",
        execution_id="exe-1",
        code_dir=Path.cwd(),
        grace_s=120.0,
        not_before_ms=None,
        json_logs=False,
        worker_identifier=None,
    )


def test_the_rest_is_read() -> None:
    identity = Identity.from_environment(
        ENVIRON
        | {
            "MULTINODE_CODE_DIR": "/code",
            "MULTINODE_GRACE_S": "7.5",
            "MULTINODE_NOT_BEFORE_MS": "1700000000000",
            "MULTINODE_LOG_FORMAT": "json",
            "MULTINODE_WORKER_IDENTIFIER": "exe-1-1",
        }
    )
    assert identity.code_dir == Path("/code")
    assert (identity.grace_s, identity.not_before_ms) == (7.5, 1_700_000_000_000)
    assert (identity.json_logs, identity.worker_identifier) == (True, "exe-1-1")


@pytest.mark.parametrize("name", list(ENVIRON))
def test_a_missing_or_empty_id_is_named(name) -> None:
    with pytest.raises(IdentityIsIncomplete, match=name):
        Identity.from_environment({key: value for key, value in ENVIRON.items() if key != name})
    with pytest.raises(IdentityIsIncomplete, match=name):
        Identity.from_environment(ENVIRON | {name: ""})


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_a_grace_that_is_no_number_is_refused(value) -> None:
    with pytest.raises(IdentityIsIncomplete, match="MULTINODE_GRACE_S"):
        Identity.from_environment(ENVIRON | {"MULTINODE_GRACE_S": value})


@pytest.fixture
def metadata():
    """The address of a task metadata endpoint as ECS gives one to each container."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {"/v4/abc/task": {"TaskARN": "arn:aws:ecs:eu-west-1:1:task/c/t"}, "/v4/odd/task": ["TaskARN"]}
            self.send_response(200 if self.path in answers else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, *args) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v4"
    server.shutdown()
    server.server_close()


def test_on_ecs_the_identifier_is_the_tasks_arn(metadata) -> None:
    identity = Identity.from_environment(ENVIRON)
    environ = {"ECS_CONTAINER_METADATA_URI_V4": f"{metadata}/abc"}
    assert container_identifier(identity, environ) == "arn:aws:ecs:eu-west-1:1:task/c/t"


@pytest.mark.parametrize("path", ["/odd", "/unknown"])
def test_metadata_that_cannot_be_read_leave_the_identifier_unknown(metadata, path) -> None:
    environ = {"ECS_CONTAINER_METADATA_URI_V4": f"{metadata}{path}"}
    assert container_identifier(Identity.from_environment(ENVIRON), environ) is None


def test_an_identifier_from_the_environment_goes_before_metadata(metadata) -> None:
    identity = Identity.from_environment(ENVIRON | {"MULTINODE_WORKER_IDENTIFIER": "exe-1-1"})
    assert container_identifier(identity, {"ECS_CONTAINER_METADATA_URI_V4": f"{metadata}/abc"}) == "exe-1-1"


def kernel(tmp_path: Path, groups, files):
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        file = tmp_path / "fs" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return oom_kills(tmp_path / "cgroup", tmp_path / "fs")


def test_version_2_counts_in_memory_events(tmp_path: Path) -> None:
    events = "low 0\nhigh 0\nmax 5\noom 3\noom_kill 2\noom_group_kill 0\n"
    assert kernel(tmp_path, "0::/box\n", {"box/memory.events": events}) == 2


def test_version_2_in_a_container_is_mounted_as_the_root(tmp_path: Path) -> None:
    assert kernel(tmp_path, "0::/../../outside\n", {"memory.events": "oom_kill 1\n"}) == 1


def test_version_1_counts_in_memory_oom_control(tmp_path: Path) -> None:
    control = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"
    groups = "9:name=systemd:/\n4:cpu,memory:/box\n0::/\n"
    assert kernel(tmp_path, groups, {"memory/box/memory.oom_control": control}) == 4


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("", {}),
        ("0::/box\n", {}),
        ("4:memory:/box\n", {"memory/box/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}),
        ("nonsense\n", {}),
    ],
)
def test_where_nothing_is_counted_the_count_is_unknown(tmp_path: Path, groups, files) -> None:
    assert kernel(tmp_path, groups, files) is None


def test_without_control_groups_the_count_is_unknown(tmp_path: Path) -> None:
    assert oom_kills(tmp_path / "missing", tmp_path) is None
