"""The user's AWS account for the deploy steps: clients, a deployment's parameter, errors in plain words."""

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import requires
from typing import Any

from multinode.config import Connection
from multinode_cli.client.api import LOGIN
from multinode_cli.console.suggestions import closest
from multinode_cli.console.text import one_line
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_protocol.messages import DeploymentInfo

PARAMETER_ROOT = "/multinode/"
NAME_PATTERN = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
MAX_NAME_CHARS = 24
NAME_RULE = f"1 to {MAX_NAME_CHARS} lower-case letters, digits and single hyphens, beginning with a letter"
"""The Terraform module's own rule for the name of a deployment."""
FIELDS = (
    "name",
    "region",
    "api_url",
    "cluster",
    "repository_url",
    "task_family_prefix",
    "task_role_arn",
    "execution_role_arn",
    "log_group",
    "parameter_prefix",
    "api_key_parameter",
)
_CREDENTIALS_HELP = (
    "Sign in (for example `aws sso login` or `aws configure`), or set AWS_PROFILE to a profile that may use the account"
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where everything of one deployment is: the JSON that Terraform wrote, checked for what is needed."""

    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> str:
        return str(self.values[name])

    @property
    def repository(self) -> str:
        """The name of the image repository, without its registry."""
        return self["repository_url"].split("/", 1)[1]

    @property
    def account_id(self) -> str:
        return self["cluster"].split(":")[4]  # arn:aws:ecs:<region>:<account>:cluster/<name>


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """Who the credentials belong to. `arn` names the user or the role."""

    account_id: str
    arn: str


def check_deployment_name(name: str) -> None:
    """Raise UsageFailure unless `name` is a valid deployment name."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > MAX_NAME_CHARS:
        raise UsageFailure(f"--name: {one_line(name, 80)!r} is not a valid deployment name: {NAME_RULE}")


def packages_missing() -> ControlPlaneFailure:
    """Return the error that says how to install the packages of the extra `aws`.

    It names them one by one: `multinode[aws]` would be looked up in the package index, which has another product there.
    """
    extra = [
        need.partition(";")[0].strip() for need in requires("multinode") or () if re.search("extra == .aws.", need)
    ]
    return ControlPlaneFailure(
        f"this needs packages that are not installed: pip install {shlex.join(extra)}, then run the same command again"
    )


class Account:
    """AWS clients with the user's own credentials, made when first used."""

    def __init__(self, region: str | None = None) -> None:
        """`region` None: as the user's AWS configuration has it. Raises ControlPlaneFailure without boto3."""
        try:
            import boto3
        except ImportError as error:
            raise packages_missing() from error
        with aws_errors("reading the AWS configuration"):
            # boto3 does not know AWS_REGION, which Terraform and the `aws` command read.
            self._session = boto3.session.Session(region_name=region or os.environ.get("AWS_REGION") or None)
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        """Raises ControlPlaneFailure when none is set."""
        region: str | None = self._session.region_name
        if not region:
            raise ControlPlaneFailure(
                "no AWS region is set: set AWS_REGION to the deployment's region, or give --region"
            )
        return region

    def client(self, service: str) -> Any:
        """Return the client of an AWS service, such as ``ecs``."""
        if service not in self._clients:
            from botocore.config import Config

            with aws_errors(f"using {service}"):
                make: Any = self._session.client  # typed for literals only
                self._clients[service] = make(
                    service,
                    region_name=self.region,
                    config=Config(connect_timeout=10, retries={"total_max_attempts": 6, "mode": "standard"}),
                )
        return self._clients[service]

    def caller(self) -> CallerIdentity:
        """Return who the credentials belong to. Raises ControlPlaneFailure if there are none, or they do not work."""
        sts = self.client("sts")
        with aws_errors("signing in to AWS"):
            answer = sts.get_caller_identity()
        return CallerIdentity(answer["Account"], answer["Arn"])

    def deployment_of(self, info: DeploymentInfo) -> Deployment:
        """Return where everything is in the deployment that `info` describes.

        Raises ControlPlaneFailure when these credentials are for another account.
        """
        found = self.deployment(info.get("deployment_name", "default"))
        theirs = info.get("account_id", found.account_id)
        if found.account_id != theirs:
            raise ControlPlaneFailure(
                f"the control plane that you are logged in to is in the AWS account {theirs}, but the AWS credentials "
                f"are for {found.account_id}: set AWS_PROFILE, or log in to the other one with "
                "`multinode login --from-aws`"
            )
        return found

    def connection(self, name: str) -> Connection:
        """Return the control plane of the deployment `name` and the key to it, as `multinode login --from-aws` does."""
        deployment = self.deployment(name)
        parameter = deployment["api_key_parameter"]
        with aws_errors(f"reading the API key in {parameter}"):
            answer = self.client("ssm").get_parameter(Name=parameter, WithDecryption=True)
        return Connection(deployment["api_url"], answer["Parameter"]["Value"], LOGIN)

    def find_deployment(self, name: str) -> Deployment | None:
        """Return the deployment called `name`, None if it does not exist. Raises ControlPlaneFailure."""
        try:
            return self.deployment(name)
        except UsageFailure:
            return None

    def deployment(self, name: str) -> Deployment:
        """Return the deployment called `name`. Raises UsageFailure, with a suggestion, if it does not exist."""
        check_deployment_name(name)
        ssm = self.client("ssm")
        with aws_errors(f"looking for the deployment {name}"):
            try:
                answer = ssm.get_parameter(Name=f"{PARAMETER_ROOT}{name}/deployment")
            except ssm.exceptions.ParameterNotFound as error:
                raise UsageFailure(self._no_such_deployment(name)) from error
        values = json.loads(answer["Parameter"]["Value"])
        missing = [field for field in FIELDS if field not in values]
        if missing:
            raise ControlPlaneFailure(
                f"the deployment {name} was installed by another version of Multinode (its parameter lacks "
                f"{', '.join(missing)}): run `multinode install` or `terraform apply` again"
            )
        return Deployment(values)

    def deployment_names(self) -> list[str]:
        """Return the names of the deployments in this region, sorted."""
        pages = self.client("ssm").get_paginator("describe_parameters")
        filters = [{"Key": "Name", "Option": "BeginsWith", "Values": [PARAMETER_ROOT]}]
        with aws_errors("listing the deployments"):
            found = [each["Name"] for page in pages.paginate(ParameterFilters=filters) for each in page["Parameters"]]
        parts = [name.removeprefix(PARAMETER_ROOT).split("/") for name in found]
        return sorted({part[0] for part in parts if part[1:] == ["deployment"]})

    def _no_such_deployment(self, name: str) -> str:
        try:
            names = self.deployment_names()
        except ControlPlaneFailure:
            names = []
        message = f"there is no Multinode deployment called {one_line(name, 80)!r} in {self.region}."
        likely = closest(name, names)
        if likely is not None:
            return f"{message} Did you mean {likely!r}?"
        if names:
            return f"{message} Existing: {', '.join(names)}"
        return (
            f"{message} `multinode install --name {one_line(name, 80)}` creates one; --region looks in another region"
        )


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn every AWS error into one line that says what to do. `doing`: ``pushing the image``, for example."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise ControlPlaneFailure(f"{doing} needs AWS credentials, but there are none. {_CREDENTIALS_HELP}") from error
    except (
        exceptions.TokenRetrievalError,
        exceptions.SSOTokenLoadError,
        exceptions.UnauthorizedSSOTokenError,
    ) as error:
        raise ControlPlaneFailure(f"{doing}: the AWS sign-in has expired. {_CREDENTIALS_HELP}") from error
    except exceptions.ProfileNotFound as error:
        raise ControlPlaneFailure(f"{doing}: {error}. `aws configure list-profiles` lists them") from error
    except exceptions.NoRegionError as error:
        raise ControlPlaneFailure(f"{doing}: no AWS region is set; set AWS_REGION, or give --region") from error
    except exceptions.ClientError as error:
        raise ControlPlaneFailure(_refusal(doing, error.response.get("Error", {}))) from error
    except (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError) as error:
        raise ControlPlaneFailure(f"{doing}: {error}. {_region_advice(error.kwargs.get('endpoint_url'))}") from error
    except exceptions.BotoCoreError as error:
        raise ControlPlaneFailure(f"{doing}: {error}") from error


def _region_advice(endpoint_url: object) -> str:
    """Return what to check when `endpoint_url` (``https://<service>.<region>.amazonaws.com``) does not answer."""
    import botocore.session

    host = re.match(r"https://\w+\.([a-z0-9-]+)\.amazonaws\.com", str(endpoint_url))
    if host is not None:
        session = botocore.session.get_session()
        known = session.get_available_regions("ssm")
        if host[1] not in known:
            likely = closest(host[1], known)
            meant = f"; did you mean {likely}?" if likely else ""
            return f"There may be no region {host[1]}{meant} Check --region and AWS_REGION"
    return "Check the network, --region and AWS_REGION"


_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_INVALID = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_NOT_THERE = {"RepositoryNotFoundException", "ClusterNotFoundException", "ParameterNotFound"}


def _refusal(doing: str, error: Mapping[str, object]) -> str:
    code, message = str(error.get("Code", "an error")), one_line(str(error.get("Message", "")), 500)
    if code in _EXPIRED:
        return f"{doing}: the AWS credentials have expired. {_CREDENTIALS_HELP}"
    if code in _INVALID:
        return f"{doing}: AWS does not accept the credentials ({code}). {_CREDENTIALS_HELP}"
    if code in _DENIED:
        # AWS's own words name the role, the action and the resource.
        return f"{doing} is not allowed: {message or code}. Ask an administrator of the account to grant that action"
    if code in _NOT_THERE:
        return f"{doing}: {message or code}. Part of the deployment is missing: apply its Terraform again"
    return f"{doing}: {code}: {message}"
