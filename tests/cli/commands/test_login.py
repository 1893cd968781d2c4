"""login, logout, whoami."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Multinode
from tests.support.control_plane import KEY, FakeControlPlane


def profile(config_dir: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads((config_dir / "profile.json").read_text())
    return content


def test_a_key_from_stdin_is_checked_and_remembered(
    multinode: Multinode, config_dir: Path, unconnected_plane: FakeControlPlane
) -> None:
    outcome = multinode("login", "--api-url", f"{unconnected_plane.url}/", "--api-key", "-", stdin=f"{KEY}\n")
    assert (outcome.code, outcome.out) == (0, "")
    assert unconnected_plane.asked == [("GET", "/deployment")]
    assert profile(config_dir) == {"api_url": unconnected_plane.url, "api_key": KEY}
    assert stat.S_IMODE((config_dir / "profile.json").stat().st_mode) == 0o600
    assert KEY not in outcome.err


def test_a_refused_key_is_not_remembered(
    multinode: Multinode, config_dir: Path, unconnected_plane: FakeControlPlane
) -> None:
    outcome = multinode("login", "--api-url", unconnected_plane.url, "--api-key", "mn_wrong_key")
    assert outcome.code == 3
    assert outcome.err == f"error: the control plane at {unconnected_plane.url} refuses this key; nothing was saved\n"
    assert not config_dir.exists()


def test_a_refused_key_leaves_the_earlier_login_as_it_was(
    multinode: Multinode, config_dir: Path, unconnected_plane: FakeControlPlane
) -> None:
    multinode("login", "--api-url", unconnected_plane.url, "--api-key", KEY)
    multinode("login", "--api-url", unconnected_plane.url, "--api-key", "mn_wrong_key")
    assert profile(config_dir)["api_key"] == KEY


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (("--api-url", "http://example.org", "--api-key", KEY), "", 2, "would send the key unprotected"),
        (("--api-url", "ftp://127.0.0.1", "--api-key", KEY), "", 2, "would send the key unprotected"),
        (("--api-url", "nonsense", "--api-key", KEY), "", 2, "cannot be that of a control plane"),
        (("--api-url", "http://127.0.0.1:1", "--api-key", "-"), "", 2, "The API key is empty"),
        (("--api-url", "http://127.0.0.1:1", "--api-key", "a\x1bb"), "", 2, "characters that no key contains"),
        (("--api-url", "http://127.0.0.1:1"), "", 2, "which key? Pipe it in with --api-key -"),
        ((), "", 2, "which control plane? Give --api-url URL"),
        (("--api-url", "http://127.0.0.1:1", "--api-key", KEY), "", 3, "cannot be reached: connection refused"),
    ],
)
def test_what_cannot_be_a_login_is_refused_and_changes_nothing(
    multinode: Multinode, config_dir: Path, arguments: tuple[str, ...], stdin: str, code: int, message: str
) -> None:
    outcome = multinode("login", *arguments, stdin=stdin)
    assert outcome.code == code
    assert message in outcome.err
    assert KEY not in outcome.err
    assert not config_dir.exists()


def test_where_nobody_can_be_asked_the_environment_gives_url_and_key(
    multinode: Multinode, config_dir: Path, plane: FakeControlPlane
) -> None:
    outcome = multinode("login")
    assert outcome.code == 0
    assert "Taking the key from MULTINODE_API_KEY" in outcome.err
    assert profile(config_dir) == {"api_url": plane.url, "api_key": KEY}


def test_a_login_that_the_environment_overrides_says_so(
    multinode: Multinode, unconnected_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTINODE_API_URL", "https://other.example.org")
    outcome = multinode("login", "--api-url", unconnected_plane.url, "--api-key", KEY)
    assert "warning: MULTINODE_API_URL is set to https://other.example.org and takes precedence over" in outcome.err


def test_whoami_tells_where_the_connection_comes_from_but_not_the_key(
    multinode: Multinode, plane: FakeControlPlane
) -> None:
    outcome = multinode("whoami", "--json")
    assert json.loads(outcome.out) == {
        "api_url": plane.url,
        "key_id": "mn_0123abcd",
        "source": "environment",
        "backend": "local",
        "multinode_version": "2.0.0",
        "api_version": 1,
    }
    text = multinode("whoami").out
    assert "mn_0123abcd (from environment)" in text
    assert KEY not in text


def test_logout_forgets(multinode: Multinode, config_dir: Path, unconnected_plane: FakeControlPlane) -> None:
    multinode("login", "--api-url", unconnected_plane.url, "--api-key", KEY)
    outcome = multinode("logout")
    assert (outcome.code, outcome.err) == (0, f"✓ Logged out of {unconnected_plane.url}\n")
    assert not (config_dir / "profile.json").exists()
    assert multinode("logout").err == "Not logged in\n"


def test_a_damaged_profile_can_be_logged_out_of(multinode: Multinode, config_dir: Path) -> None:
    config_dir.mkdir()
    (config_dir / "profile.json").write_text("{")
    assert multinode("logout").code == 0
    assert not (config_dir / "profile.json").exists()
