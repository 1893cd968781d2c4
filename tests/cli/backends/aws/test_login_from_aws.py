"""login --from-aws: a deployment found by its name, and every way in which AWS says no, in words that help."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions

from multinode_cli.backends.aws.account import Account, aws_errors, check_deployment_name
from multinode_cli.errors import CliFailure, ControlPlaneFailure, UsageFailure
from multinode_protocol.error_codes import ErrorCode
from tests.cli.conftest import Multinode
from tests.support.aws.emulators import CREDENTIALS
from tests.support.cli.account import TestAccount
from tests.support.cli.refusing_aws import refusing
from tests.support.control_plane import KEY, FakeControlPlane
from tests.support.faulty_server import refuses

pytestmark = pytest.mark.slow


@pytest.fixture
def login(multinode: Multinode, aws_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("MULTINODE_API_URL")
    monkeypatch.delenv("MULTINODE_API_KEY")
    return lambda *options: multinode("login", *options)


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials anywhere, and no metadata service to ask for them."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


# --- finding it ---


def test_url_and_key_are_read_checked_and_remembered(login: Any, aws_plane: FakeControlPlane, config_dir: Path) -> None:
    done = login("--from-aws", "--name", "main")
    assert done.code == 0, done.err
    assert json.loads((config_dir / "profile.json").read_text()) == {"api_url": aws_plane.url, "api_key": KEY}
    assert f"Logged in to {aws_plane.url} (ecs, multinode 2.0.0)" in done.err
    assert KEY not in done.out + done.err


def test_the_name_is_default_when_none_is_given(login: Any, aws_plane: FakeControlPlane, account: TestAccount) -> None:
    account.install("default", aws_plane.url)
    assert login("--from-aws").code == 0


def test_a_name_that_does_not_exist_is_answered_with_the_one_that_was_likely_meant(
    login: Any, account: TestAccount
) -> None:
    account.install("production", "https://api.example")
    assert (
        "called 'produktion' in eu-west-1. Did you mean 'production'?"
        in login(*("--from-aws", "--name", "produktion")).err
    )
    assert "Existing: main, production" in login("--from-aws", "--name", "zzz").err


def test_a_region_without_deployments_is_named(login: Any) -> None:
    done = login("--from-aws", "--name", "main", "--region", "us-west-2")
    assert done.code == 2
    assert "no Multinode deployment called 'main' in us-west-2" in done.err
    assert "multinode install --name main` creates one; --region looks in another region" in done.err


@pytest.mark.parametrize("name", ["", "Main", "a_b", "-a", "a--b", "a-", "x" * 25, "../x", "a/b", "$(id)", "1a"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UsageFailure, match="is not a valid deployment name: 1 to 24 lower-case letters"):
        check_deployment_name(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from-aws", "--api-url", "https://x"], "--from-aws finds URL and key itself"),
        (["--from-aws", "--api-key", "-"], "--from-aws finds URL and key itself"),
        (["--name", "main"], "--name and --region are for --from-aws"),
        (["--region", "eu-west-1"], "--name and --region are for --from-aws"),
    ],
)
def test_options_that_do_not_go_together_are_refused(login: Any, options: list[str], message: str) -> None:
    done = login(*options)
    assert (done.code, message in done.err) == (2, True)


def test_nothing_is_saved_when_the_control_plane_refuses_the_key(
    login: Any, aws_plane: FakeControlPlane, config_dir: Path
) -> None:
    aws_plane.faults.append(refuses(ErrorCode.API_KEY_IS_INVALID))
    done = login("--from-aws", "--name", "main")
    assert done.code == 3
    assert "refuses this key; nothing was saved" in done.err
    assert not (config_dir / "profile.json").exists()


# --- what AWS says no to ---


def test_without_credentials_it_says_how_to_sign_in(
    multinode: Multinode, config_dir: Path, no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    done = multinode("login", "--from-aws")
    assert done.code == 3
    assert "needs AWS credentials, but there are none. Sign in (for example `aws sso login`" in done.err


def test_without_a_region_it_says_how_to_set_one(
    multinode: Multinode, config_dir: Path, no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    done = multinode("login", "--from-aws")
    assert done.code == 3
    assert "no AWS region is set: set AWS_REGION" in done.err


def test_a_profile_that_does_not_exist_is_named(
    multinode: Multinode, config_dir: Path, no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    done = multinode("login", "--from-aws")
    assert done.code == 3
    assert "nope" in done.err
    assert "aws configure list-profiles" in done.err


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        ("ExpiredTokenException", "The security token included in the request is expired", "credentials have expired"),
        ("UnrecognizedClientException", "The security token is invalid", "AWS does not accept the credentials"),
        (
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/ada is not authorized to perform: ssm:GetParameter on resource: arn:aws:ssm:x",
            "User: arn:aws:iam::1:user/ada is not authorized to perform: ssm:GetParameter on resource: arn:aws:ssm:x. "
            "Ask an administrator of the account to grant that action",
        ),
        ("ValidationException", "1 validation error", "ValidationException: 1 validation error"),
    ],
)
def test_a_refusal_names_what_was_tried_and_what_to_do(
    multinode: Multinode,
    config_dir: Path,
    no_aws: None,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    message: str,
    said: str,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with refusing(code, message) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        done = multinode("login", "--from-aws", "--name", "main")
    assert done.code == 3
    assert "looking for the deployment main" in done.err
    assert said in done.err


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("https://ssm.eu-wst-1.amazonaws.com/", "There may be no region eu-wst-1; did you mean eu-west-1?"),
        ("https://ssm.eu-west-1.amazonaws.com/", "Check the network, --region and AWS_REGION"),
        ("http://localhost:1/", "Check the network, --region and AWS_REGION"),
    ],
)
def test_an_endpoint_that_does_not_answer_may_be_a_slip_in_the_region(url: str, advice: str) -> None:
    with pytest.raises(ControlPlaneFailure) as caught, aws_errors("trying"):
        raise exceptions.EndpointConnectionError(endpoint_url=url)
    assert advice in caught.value.message


def test_the_region_of_the_environment_is_that_of_the_aws_command_and_of_terraform(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-south-1")
    assert Account().region == "eu-north-1"
    assert Account("us-east-2").region == "us-east-2"


def test_without_the_aws_part_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(
        CliFailure, match=r"pip install 'boto3>=[\d.]+' 'jinja2>=[\d.]+' 'python-terraform>=[\d.]+', then"
    ):
        Account()
