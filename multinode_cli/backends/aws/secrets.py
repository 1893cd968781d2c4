"""``.env`` of a project on AWS: each value is an SSM SecureString, which ECS gives only to the containers.

They are stored below ``<prefix>/projects/<project>/env/<digest>/``. The digest is keyed (the key is stored beside them,
encrypted): the same variables are found again and stored once, older versions keep theirs, and whoever sees the names
in a task definition cannot test guesses of short values.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from multinode_cli.backends.aws.account import Account, Deployment, aws_errors
from multinode_cli.errors import ControlPlaneFailure, UsageFailure

MAX_PARAMETER_BYTES = 4096
"""Of a standard SSM parameter, which costs nothing."""
DIGEST_CHARS = 32


def check_variables(variables: Mapping[str, str]) -> None:
    """Raise UsageFailure for a value that no parameter can hold."""
    for name, value in variables.items():
        length = len(value.encode())
        if length > MAX_PARAMETER_BYTES:
            raise UsageFailure(
                f"{name} in .env has {length:,} bytes; on AWS a value may have at most {MAX_PARAMETER_BYTES:,}. Put it "
                "into S3 or Secrets Manager, and its name into .env"
            )


def store_variables(
    account: Account, deployment: Deployment, project_name: str, variables: Mapping[str, str]
) -> dict[str, str]:
    """Store `variables` and return variable -> name of its parameter, without the empty ones: no parameter is empty.

    What is already stored is left as it is, so an interrupted deploy continues where it was.

    Raises ControlPlaneFailure.
    """
    wanted = {name: value for name, value in variables.items() if value}
    if not wanted:
        return {}
    ssm = account.client("ssm")
    tags = [
        {"Key": "multinode:deployment", "Value": deployment["name"]},
        {"Key": "multinode:project", "Value": project_name},
    ]
    key = _key(ssm, f"{_folder(deployment, project_name)}/env_key", tags)
    text = json.dumps(wanted, sort_keys=True).encode()
    digest = hmac.new(key, text, hashlib.sha256).hexdigest()[:DIGEST_CHARS]
    names = {name: parameter_name(deployment, project_name, digest, name) for name in wanted}
    with aws_errors("looking for stored variables of .env"):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(
            Path=f"{_folder(deployment, project_name)}/env/{digest}"
        )
        stored = {parameter["Name"] for page in pages for parameter in page["Parameters"]}
    for variable, name in names.items():
        if name not in stored:
            _put(ssm, name, wanted[variable], tags, f"storing {variable} of .env")
    return names


def parameter_name(deployment: Deployment, project_name: str, digest: str, variable: str) -> str:
    return f"{_folder(deployment, project_name)}/env/{digest}/{variable}"


def _folder(deployment: Deployment, project_name: str) -> str:
    return f"{deployment['parameter_prefix']}/projects/{project_name}"


def _key(ssm: Any, name: str, tags: list[dict[str, str]]) -> bytes:
    """Return the key of a project's digests, made by its first deploy with variables."""
    for _ in range(2):
        with aws_errors(f"reading {name}"):
            try:
                return bytes.fromhex(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
            except ssm.exceptions.ParameterNotFound:
                pass
        _put(ssm, name, secrets.token_hex(32), tags, f"storing {name}")
    raise ControlPlaneFailure(f"{name} was stored but is gone: somebody is undeploying the project; deploy again")


def _put(ssm: Any, name: str, value: str, tags: list[dict[str, str]], doing: str) -> None:
    """Store a SecureString that does not exist; another deploy may be faster, with the same value."""
    with aws_errors(doing):
        try:
            ssm.put_parameter(Name=name, Value=value, Type="SecureString", Tags=tags)
        except ssm.exceptions.ParameterAlreadyExists:
            return
