"""Keys of the local deployment: only hashes on the disk, several clients, one token secret for life."""

import hashlib
import re
import stat

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory, DataDirectoryError
from multinode_control_plane.adapters.local.keychain import MAX_KEYS, LocalKeychain


def test_a_made_key_is_accepted_and_known_by_its_id_and_its_hash(directory: DataDirectory) -> None:
    keychain = LocalKeychain(directory.keys)
    key = keychain.make_key()
    match = re.fullmatch(r"mn_([0-9a-f]{8})_[A-Za-z0-9_-]{43}", key)
    assert match is not None
    assert keychain.accepts(key)
    assert keychain.key_hashes(match[1]) == [hashlib.sha256(key.encode()).hexdigest()]


def test_the_file_is_private_and_holds_no_key(directory: DataDirectory) -> None:
    key = LocalKeychain(directory.keys).make_key()
    assert stat.S_IMODE(directory.keys.stat().st_mode) == 0o600
    text = directory.keys.read_text()
    assert key not in text
    assert key.split("_", 2)[2] not in text


def test_an_unknown_id_has_no_hashes_and_an_unknown_key_is_not_accepted(directory: DataDirectory) -> None:
    keychain = LocalKeychain(directory.keys)
    key = keychain.make_key()
    assert keychain.key_hashes("00000000") == []
    assert not keychain.accepts(key + "x")


def test_a_key_that_another_process_made_or_revoked_is_noticed_at_once(directory: DataDirectory) -> None:
    server, client = LocalKeychain(directory.keys), LocalKeychain(directory.keys)
    key = client.make_key()
    assert server.accepts(key)
    client.revoke(key)
    assert not server.accepts(key)


def test_the_oldest_key_ends_when_there_are_too_many(directory: DataDirectory) -> None:
    keychain = LocalKeychain(directory.keys)
    keys = [keychain.make_key() for _ in range(MAX_KEYS + 1)]
    assert [keychain.accepts(key) for key in keys] == [False] + [True] * MAX_KEYS


def test_the_token_secret_stays_the_same_for_life(directory: DataDirectory) -> None:
    first = LocalKeychain(directory.keys)
    first.make_key()
    assert len(first.token_secret()) == 32
    assert LocalKeychain(directory.keys).token_secret() == first.token_secret()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": []}'])
def test_a_damaged_file_is_an_error_that_says_what_to_do(directory: DataDirectory, content: str) -> None:
    directory.keys.write_text(content)
    with pytest.raises(DataDirectoryError, match="Restore the file"):
        LocalKeychain(directory.keys)
