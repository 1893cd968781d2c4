"""① The user's AWS account, as the deploy steps see it: clients, a deployment's parameter, errors in plain words."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from multinode_cli.failures import ControlPlaneFailure, UsageFailure
from multinode_cli.suggestions import closest
from multinode_cli.text import one_line

__all__ = ["Account", "Deployment", "aws_errors"]

PARAMETER_ROOT = "/multinode/"
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

    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[name]


class Account:
    """AWS clients with the user's own credentials, made when first used."""

    def __init__(self, region: str | None = None) -> None:
        """`region` None: as the user's AWS configuration has it. Raises ControlPlaneFailure without boto3."""
        try:
            import boto3
        except ImportError as error:
            raise ControlPlaneFailure(
                "this needs the AWS part of Multinode: pip install 'multinode[aws]', then run the same command again"
            ) from error
        with aws_errors("reading the AWS configuration"):
            self._session = boto3.session.Session(region_name=region)
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        """Raises ControlPlaneFailure when none is set."""
        region: str | None = self._session.region_name
        if not region:
            raise ControlPlaneFailure(
                "no AWS region is set: set AWS_REGION to that of the deployment, or give --region"
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

    def deployment(self, name: str) -> Deployment:
        """Return the deployment called `name`. Raises UsageFailure, with a suggestion, when there is none."""
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
                f"the deployment {name} was installed by another version of Multinode (it says nothing of "
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
            return f"{message} There is: {', '.join(names)}"
        return f"{message} `multinode install --name {one_line(name, 80)}` makes one; --region looks elsewhere"


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn whatever AWS says no to into one line that says what to do. `doing`: ``pushing the image``, for example."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise ControlPlaneFailure(f"{doing} needs AWS credentials, and there are none. {_CREDENTIALS_HELP}") from error
    except (
        exceptions.TokenRetrievalError,
        exceptions.SSOTokenLoadError,
        exceptions.UnauthorizedSSOTokenError,
    ) as error:
        raise ControlPlaneFailure(f"{doing}: the AWS sign-in has expired. {_CREDENTIALS_HELP}") from error
    except exceptions.ProfileNotFound as error:
        raise ControlPlaneFailure(f"{doing}: {error}. `aws configure list-profiles` shows which there are") from error
    except exceptions.NoRegionError as error:
        raise ControlPlaneFailure(f"{doing}: no AWS region is set; set AWS_REGION, or give --region") from error
    except exceptions.ClientError as error:
        raise ControlPlaneFailure(_refusal(doing, error.response.get("Error", {}))) from error
    except exceptions.EndpointConnectionError as error:
        raise ControlPlaneFailure(f"{doing}: {error} Check the network and the region's name") from error
    except exceptions.BotoCoreError as error:
        raise ControlPlaneFailure(f"{doing}: {error}") from error


_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_INVALID = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


def _refusal(doing: str, error: Mapping[str, object]) -> str:
    code, message = str(error.get("Code", "an error")), one_line(str(error.get("Message", "")), 500)
    if code in _EXPIRED:
        return f"{doing}: the AWS credentials have expired. {_CREDENTIALS_HELP}"
    if code in _INVALID:
        return f"{doing}: AWS does not accept the credentials ({code}). {_CREDENTIALS_HELP}"
    if code in _DENIED:
        # AWS's own words name the role, the action and the resource.
        return f"{doing} is not allowed: {message or code}. Let somebody who may do so grant that action"
    return f"{doing}: {code}: {message}"
