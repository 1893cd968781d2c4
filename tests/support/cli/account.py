"""An AWS account in memory with a deployment in it, as Terraform leaves one behind."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3

from tests.support.cli.docker import FakeDocker
from tests.support.control_plane import KEY

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"
REGISTRY = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com"


def deployment_values(name: str, api_url: str) -> dict[str, Any]:
    """Return what Terraform writes into the deployment's parameter: tests/terraform holds it to these names."""
    prefix = f"multinode-{name}"
    return {
        "name": name,
        "version": "2.0.0",
        "region": REGION,
        "api_url": api_url,
        "cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT_ID}:cluster/{prefix}",
        "repository_url": f"{REGISTRY}/{prefix}",
        "task_family_prefix": f"{prefix}_",
        "task_role_arn": f"arn:aws:iam::{ACCOUNT_ID}:role/{prefix}-{REGION}-task",
        "execution_role_arn": f"arn:aws:iam::{ACCOUNT_ID}:role/{prefix}-{REGION}-execution",
        "log_group": f"/multinode/{name}/workers",
        "event_bus": "default",
        "parameter_prefix": f"/multinode/{name}",
        "api_key_parameter": f"/multinode/{name}/api_key",
        "network": {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"], "assign_public_ip": True},
    }


class TestAccount:
    """Clients of moto, and what is in it. Image repositories hold what the fake docker has pushed."""

    __test__ = False

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(service, region_name=REGION)

    def install(self, name: str, api_url: str, **changes: Any) -> None:
        """Put a deployment into the account."""
        values = deployment_values(name, api_url) | changes
        ssm = self.client("ssm")
        ssm.put_parameter(Name=f"/multinode/{name}/deployment", Value=json.dumps(values), Type="String", Overwrite=True)
        ssm.put_parameter(Name=f"/multinode/{name}/api_key", Value=KEY, Type="SecureString", Overwrite=True)
        self.client("ecs").create_cluster(clusterName=f"multinode-{name}")
        ecr = self.client("ecr")
        if f"multinode-{name}" not in [each["repositoryName"] for each in ecr.describe_repositories()["repositories"]]:
            ecr.create_repository(repositoryName=f"multinode-{name}", imageTagMutability="IMMUTABLE")

    def parameters(self, path: str = "/multinode/") -> dict[str, str]:
        """Return the parameters below `path`, decrypted."""
        pages = self.client("ssm").get_paginator("get_parameters_by_path")
        found = pages.paginate(Path=path, Recursive=True, WithDecryption=True)
        return {each["Name"]: each["Value"] for page in found for each in page["Parameters"]}

    def task_definitions(self, status: str = "ACTIVE") -> list[str]:
        """Return ``family:revision`` of the task definitions, sorted."""
        arns = self.client("ecs").list_task_definitions(status=status)["taskDefinitionArns"]
        return sorted(arn.rpartition("/")[2] for arn in arns)


class EcrOfFakeDocker:
    """ECR's client as `deploy` uses it: the repository holds what `docker` pushed, whatever `lies` says instead."""

    class exceptions:
        class ImageNotFoundException(Exception):
            pass

    def __init__(self, docker: FakeDocker) -> None:
        self._docker = docker
        self._deleted: set[str] = set()
        self.lies: dict[str, str] = {}

    def _images(self) -> dict[str, str]:
        return {tag: digest for tag, digest in self._docker.pushed().items() if tag not in self._deleted}

    def describe_images(self, *, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:
        pushed = self._images()
        (tag,) = (image["imageTag"] for image in imageIds)
        if tag not in pushed:
            raise self.exceptions.ImageNotFoundException
        return {"imageDetails": [{"imageDigest": self.lies.get(pushed[tag], pushed[tag])}]}

    def get_paginator(self, operation: str) -> "EcrOfFakeDocker":
        assert operation == "list_images"
        return self

    def paginate(self, *, repositoryName: str) -> Iterator[dict[str, Any]]:
        yield {"imageIds": [{"imageTag": tag, "imageDigest": digest} for tag, digest in self._images().items()]}

    def batch_delete_image(self, *, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:
        self._deleted |= {image["imageTag"] for image in imageIds}
        return {"imageIds": imageIds, "failures": []}

    def get_authorization_token(self) -> dict[str, Any]:
        token = base64.b64encode(b"AWS:password-for-twelve-hours").decode()
        return {"authorizationData": [{"authorizationToken": token, "proxyEndpoint": f"https://{REGISTRY}"}]}
