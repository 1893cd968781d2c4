"""The keys of a deployment in SSM: current and previous, known as hashes, and never older than a minute."""

import hashlib
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.ssm import KeychainError, SsmKeychain

API_KEY, TOKEN_SECRET = "/multinode/main/api_key", "/multinode/main/token_secret"
OLD, NEW = "mn_00000001_" + "o" * 43, "mn_00000002_" + "n" * 43


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Deployment:
    """The parameters as Terraform makes them, and a clock."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.time = 1000.0
        self.calls = 0
        clients.ssm.meta.events.register("before-call.ssm.GetParameter", self._count)
        self.keychain = SsmKeychain(
            clients, api_key_parameter=API_KEY, token_secret_parameter=TOKEN_SECRET, monotonic=lambda: self.time
        )

    def put(self, name: str, value: str) -> int:
        made = self._clients.ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
        return made["Version"]

    def label(self, version: int) -> None:
        self._clients.ssm.label_parameter_version(Name=API_KEY, ParameterVersion=version, Labels=["previous"])

    def _count(self, **_: object) -> None:
        self.calls += 1


@pytest.fixture
def deployment(clients: Clients) -> Deployment:
    made = Deployment(clients)
    made.put(API_KEY, OLD)
    made.put(TOKEN_SECRET, "s" * 43)
    return made


def test_a_key_is_known_by_its_hash(deployment: Deployment) -> None:
    assert list(deployment.keychain.key_hashes("00000001")) == [digest(OLD)]


def test_an_unknown_key_has_no_hash(deployment: Deployment) -> None:
    assert list(deployment.keychain.key_hashes("00000009")) == []


def test_a_rotated_key_is_refused_and_the_new_one_accepted_within_a_minute(deployment: Deployment) -> None:
    deployment.keychain.key_hashes("00000001")
    deployment.put(API_KEY, NEW)
    deployment.time += 60
    assert list(deployment.keychain.key_hashes("00000001")) == []
    assert list(deployment.keychain.key_hashes("00000002")) == [digest(NEW)]


def test_a_new_key_is_known_after_five_seconds(deployment: Deployment) -> None:
    deployment.keychain.key_hashes("00000001")
    deployment.put(API_KEY, NEW)
    assert list(deployment.keychain.key_hashes("00000002")) == []
    deployment.time += 5
    assert list(deployment.keychain.key_hashes("00000002")) == [digest(NEW)]


def test_the_previous_key_is_accepted_while_its_version_bears_the_label(deployment: Deployment) -> None:
    deployment.label(1)
    deployment.put(API_KEY, NEW)
    assert list(deployment.keychain.key_hashes("00000001")) == [digest(OLD)]
    assert list(deployment.keychain.key_hashes("00000002")) == [digest(NEW)]


def test_two_secrets_under_one_key_id_are_both_accepted(deployment: Deployment) -> None:
    deployment.label(1)
    same_id = "mn_00000001_" + "x" * 43
    deployment.put(API_KEY, same_id)
    assert list(deployment.keychain.key_hashes("00000001")) == [digest(same_id), digest(OLD)]


def test_a_current_key_that_bears_the_label_is_one_key(deployment: Deployment) -> None:
    deployment.label(1)
    assert list(deployment.keychain.key_hashes("00000001")) == [digest(OLD)]


def test_ssm_is_asked_once_a_minute_whatever_is_asked_of_the_keychain(deployment: Deployment) -> None:
    for _ in range(100):
        deployment.keychain.key_hashes("00000001")
    # The current key and the one labelled previous.
    assert deployment.calls == 2
    deployment.time += 59
    deployment.keychain.key_hashes("00000001")
    assert deployment.calls == 2


def test_unknown_keys_make_it_ask_once_in_five_seconds(deployment: Deployment) -> None:
    for number in range(100):
        deployment.keychain.key_hashes(f"{number:08x}")
    assert deployment.calls == 2


def test_the_token_secret_is_read_once(deployment: Deployment) -> None:
    assert deployment.keychain.token_secret() == b"s" * 43
    deployment.put(TOKEN_SECRET, "t" * 43)
    deployment.time += 3600
    assert deployment.keychain.token_secret() == b"s" * 43
    assert deployment.calls == 1


@pytest.mark.parametrize("text", ["", "short", "s" * 31])
def test_a_secret_too_short_to_sign_with_is_an_error(deployment: Deployment, text: str) -> None:
    deployment.put(TOKEN_SECRET, text or " ")
    with pytest.raises(KeychainError, match=TOKEN_SECRET):
        deployment.keychain.token_secret()


@pytest.mark.parametrize("text", ["nonsense", "mn_1", "xx_00000001_" + "s" * 43])
def test_a_parameter_that_holds_no_key_is_an_error_that_does_not_show_it(deployment: Deployment, text: str) -> None:
    deployment.put(API_KEY, text)
    with pytest.raises(KeychainError, match=API_KEY) as error:
        deployment.keychain.key_hashes("00000001")
    assert text not in str(error.value).replace(API_KEY, "")


@pytest.fixture
def stub(clients: Clients) -> Iterator[Stubber]:
    with Stubber(clients.ssm) as stubbed:
        yield stubbed


def keychain(clients: Clients) -> SsmKeychain:
    return SsmKeychain(clients, api_key_parameter=API_KEY, token_secret_parameter=TOKEN_SECRET)


def test_a_missing_parameter_is_an_error_that_says_what_to_do(clients: Clients, stub: Stubber) -> None:
    for _ in range(2):
        stub.add_client_error("get_parameter", "ParameterNotFound")
    with pytest.raises(KeychainError, match="apply the deployment's Terraform again"):
        keychain(clients).key_hashes("00000001")
    with pytest.raises(KeychainError, match=TOKEN_SECRET):
        keychain(clients).token_secret()


def test_a_key_that_could_not_be_checked_is_not_accepted(clients: Clients, stub: Stubber) -> None:
    stub.add_client_error("get_parameter", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        keychain(clients).key_hashes("00000001")
