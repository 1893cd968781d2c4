"""Where the control plane is: the environment, the profile, and what of either is refused."""

import os
import stat
from pathlib import Path

import pytest

from multinode.config import (
    Connection,
    checked_api_key,
    checked_api_url,
    connection,
    delete_profile,
    load_profile,
    profile_path,
    save_profile,
)
from multinode.errors import ControlPlaneNotConfiguredError, ParameterValidationError

URL = "https://api.example/prod"
KEY = "mn_0123abcd_secret"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def test_the_environment_comes_before_the_profile(environ: dict[str, str]) -> None:
    save_profile("https://profile.example", "mn_profile", environ)
    given = {**environ, "MULTINODE_API_URL": URL, "MULTINODE_API_KEY": KEY}
    assert connection(given) == Connection(URL, KEY, "environment")


def test_without_variables_the_profile_is_taken(environ: dict[str, str]) -> None:
    path = save_profile(URL, KEY, environ)
    assert connection(environ) == Connection(URL, KEY, str(path))


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTINODE_API_URL", URL)
    monkeypatch.setenv("MULTINODE_API_KEY", KEY)
    assert connection().api_url == URL


def test_nothing_configured_says_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(ControlPlaneNotConfiguredError, match=r"multinode login.*multinode local start"):
        connection(environ)


@pytest.mark.parametrize(
    ("given", "missing"),
    [("MULTINODE_API_URL", "MULTINODE_API_KEY"), ("MULTINODE_API_KEY", "MULTINODE_API_URL")],
)
def test_one_variable_alone_is_never_completed_from_the_profile(
    environ: dict[str, str], given: str, missing: str
) -> None:
    save_profile(URL, KEY, environ)
    with pytest.raises(ControlPlaneNotConfiguredError, match=f"{given} is set but {missing} is not"):
        connection({**environ, given: URL})


def test_a_wrong_url_in_the_environment_says_so(environ: dict[str, str]) -> None:
    given = {**environ, "MULTINODE_API_URL": "http://api.example", "MULTINODE_API_KEY": KEY}
    with pytest.raises(ControlPlaneNotConfiguredError, match=r"MULTINODE_API_URL.*http://api.example.*unprotected"):
        connection(given)


def test_a_connection_does_not_show_its_key() -> None:
    assert KEY not in repr(Connection(URL, KEY, "environment"))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"MULTINODE_CONFIG_DIR": "/c", "XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/c/profile.json"),
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/multinode/profile.json"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/multinode/profile.json"),
        ({"MULTINODE_CONFIG_DIR": "", "XDG_CONFIG_HOME": "", "HOME": "/h"}, "/h/.config/multinode/profile.json"),
    ],
)
def test_the_profile_lies_where_the_environment_says(environ: dict[str, str], expected: str) -> None:
    assert profile_path(environ) == Path(expected)


def test_without_a_home_there_is_no_place_for_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ControlPlaneNotConfiguredError, match="HOME"):
        profile_path({})


def test_a_profile_is_written_for_its_owner_only(environ: dict[str, str]) -> None:
    path = save_profile(f"{URL}/", f" {KEY}\n", environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["profile.json"]
    assert load_profile(environ) == Connection(URL, KEY, str(path))


def test_a_profile_may_be_written_again(environ: dict[str, str]) -> None:
    save_profile(URL, KEY, environ)
    save_profile("http://127.0.0.1:8000", "mn_other", environ)
    assert connection(environ).api_key == "mn_other"


def test_a_missing_profile_is_none(environ: dict[str, str]) -> None:
    assert load_profile(environ) is None


def test_a_profile_can_be_deleted_once(environ: dict[str, str]) -> None:
    save_profile(URL, KEY, environ)
    assert delete_profile(environ) is True
    assert delete_profile(environ) is False
    assert load_profile(environ) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o660])
def test_a_profile_that_others_may_touch_is_refused(environ: dict[str, str], mode: int) -> None:
    save_profile(URL, KEY, environ).chmod(mode)
    with pytest.raises(ControlPlaneNotConfiguredError, match=f"open to others \\(mode {mode:04o}"):
        connection(environ)


def test_a_symbolic_link_is_neither_read_nor_written_through(environ: dict[str, str], tmp_path: Path) -> None:
    path = save_profile(URL, KEY, environ)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_text()
    with pytest.raises(ControlPlaneNotConfiguredError, match="symbolic link"):
        load_profile(environ)
    with pytest.raises(ControlPlaneNotConfiguredError, match="symbolic link"):
        save_profile(URL, "mn_other", environ)
    assert elsewhere.read_text() == before


def test_a_profile_of_another_user_is_refused(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    save_profile(URL, KEY, environ)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ControlPlaneNotConfiguredError, match="belongs to another user"):
        load_profile(environ)


def test_a_pipe_in_the_profiles_place_is_refused_without_hanging(environ: dict[str, str]) -> None:
    path = profile_path(environ)
    path.parent.mkdir(parents=True)
    os.mkfifo(path, 0o600)
    with pytest.raises(ControlPlaneNotConfiguredError, match="is not a file"):
        load_profile(environ)


def test_a_folder_in_the_profiles_place_is_refused(environ: dict[str, str]) -> None:
    profile_path(environ).mkdir(parents=True)
    with pytest.raises(ControlPlaneNotConfiguredError, match=r"cannot be read|is not a file"):
        load_profile(environ)
    with pytest.raises(ControlPlaneNotConfiguredError, match="cannot be written"):
        save_profile(URL, KEY, environ)
    assert os.listdir(profile_path(environ).parent) == ["profile.json"]
    with pytest.raises(ControlPlaneNotConfiguredError, match="cannot be removed"):
        delete_profile(environ)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"api_url": "https://x.example"}',
        '{"api_url": 1, "api_key": "k"}',
        '{"api_url": "http://x.example", "api_key": "k"}',
        '{"api_url": "https://x.example", "api_key": ""}',
        "[" * 100_000,
        "\x00\xff",
    ],
)
def test_a_damaged_profile_is_refused_with_its_path(environ: dict[str, str], text: str) -> None:
    path = save_profile(URL, KEY, environ)
    path.write_text(text)
    with pytest.raises(ControlPlaneNotConfiguredError, match="is damaged") as caught:
        connection(environ)
    assert str(path) in str(caught.value)
    assert "multinode login" in str(caught.value)


@pytest.mark.requires("unprivileged")
def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ControlPlaneNotConfiguredError, match="cannot be written: Permission denied"):
        save_profile(URL, KEY, {"MULTINODE_CONFIG_DIR": str(tmp_path)})
    tmp_path.chmod(0o700)


def test_a_home_that_is_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ControlPlaneNotConfiguredError, match="cannot be written: Not a directory"):
        save_profile(URL, KEY, {"HOME": str(tmp_path / "home")})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.example", "https://api.example"),
        ("https://api.example/prod/", "https://api.example/prod"),
        (" https://api.example:8443\n", "https://api.example:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.9.9.9:1", "http://127.9.9.9:1"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://plane.localhost", "http://plane.localhost"),
    ],
)
def test_a_url_that_protects_the_key_is_allowed(given: str, kept: str) -> None:
    assert checked_api_url(given) == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "ftp://api.example",
        "http://api.example",
        "http://0.0.0.0:8000",
        "http://192.168.1.1",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil.example#@127.0.0.1",
        "https://user:secret@api.example",
        "https://api.example?x=1",
        "https://api.example#part",
        "https://",
        "https://api.example:port",
        "https://api.example:99999",
        "https://[::1",
        "https://api.exa\nmple",
        "https://api.example/a b",
        "https://api.example/\x7f",
    ],
)
def test_any_other_url_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(ParameterValidationError, match="allowed is https://"):
        checked_api_url(url)


@pytest.mark.parametrize("key", ["", "   ", "a b", "a\nb", "ключ", "a\x00b"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ParameterValidationError, match="The API key") as caught:
        checked_api_key(key)
    assert not key.strip() or key.strip() not in str(caught.value)


def test_a_wrong_url_or_key_is_not_saved(environ: dict[str, str]) -> None:
    with pytest.raises(ParameterValidationError):
        save_profile("http://api.example", KEY, environ)
    with pytest.raises(ParameterValidationError):
        save_profile(URL, "", environ)
    assert load_profile(environ) is None
