"""① Deploying to AWS: Dockerfile -> image -> functions found inside it -> registry -> secrets -> task definition.

Nothing that runs is touched until the version is registered, which is the control plane's one atomic step and comes
last: a failure at any step, or Ctrl-C, leaves the old version serving. What a broken deploy left behind (an image,
parameters, a task definition) costs next to nothing, is used again where it is the same, and goes with the project.
"""

import base64
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from multinode_cli.aws_account import Account, Deployment, aws_errors
from multinode_cli.bundle import store
from multinode_cli.deploy import Prepared, Source
from multinode_cli.discovery import problem_text
from multinode_cli.dockerfile import Recipe, read_recipe, render, write_context
from multinode_cli.failures import ControlPlaneFailure, UsageFailure
from multinode_cli.image import Docker, Image, Registry
from multinode_cli.requirements import Requirements, read_requirements
from multinode_cli.task_definition import task_definition
from multinode_cli.terminal import Terminal
from multinode_control_plane.core.task_size import NoTaskSize, covering
from multinode_protocol.messages import DeploymentInfo, FunctionSpec, VersionDefinition

__all__ = ["AwsTarget"]

MAX_PARAMETER_BYTES = 4096
"""Of a standard SSM parameter, which costs nothing."""
IN_THE_IMAGE = Path("/multinode/code")


@dataclass(frozen=True, slots=True)
class _Made(Prepared):
    image: Image
    variables: dict[str, str]


class AwsTarget:
    """One deployment in the account that the user's AWS credentials are for."""

    def __init__(self, account: Account, deployment: Deployment, terminal: Terminal, base_image: str | None) -> None:
        self._account = account
        self._deployment = deployment
        self._terminal = terminal
        self._base_image = base_image

    @classmethod
    def of(cls, info: DeploymentInfo, terminal: Terminal, base_image: str | None = None) -> "AwsTarget":
        account = Account(info.get("region"))
        return cls(account, account.deployment(info.get("deployment_name", "default")), terminal, base_image)

    # --- prepare ---

    def prepare(self, source: Source) -> Prepared:
        """Build the image and find its functions."""
        _check_values(source.variables)
        docker = Docker.found(self._terminal)
        with tempfile.TemporaryDirectory(prefix="multinode-deploy-") as scratch:
            bundle = store(source.collection, Path(scratch, "bundles"))
            requirements = read_requirements(bundle.code_dir)
            recipe = read_recipe(
                bundle.code_dir, base_image=self._base_image, has_requirements=requirements is not None
            )
            image = self._build(docker, Path(scratch), bundle.code_dir, recipe, requirements)
        functions = self._functions(docker, image, source)
        details = {
            "dockerfile": render(recipe),
            "task_definition": self._task_definition("(project)", "(image)", image, source.variables, "(version)"),
        }
        return _Made(functions, details, image, source.variables)

    def _build(
        self, docker: Docker, scratch: Path, code_dir: Path, recipe: Recipe, requirements: Requirements | None
    ) -> Image:
        context = scratch / "context"
        context.mkdir()
        write_context(context, recipe, code_dir, requirements)
        image = docker.build(context)
        self._terminal.step(f"Built the image from {recipe.base_image} ({image.architecture})")
        return image

    def _functions(self, docker: Docker, image: Image, source: Source) -> list[FunctionSpec]:
        report = docker.discover(image, source.variables)
        if report is None:
            raise UsageFailure("importing main.py inside the image ended the whole process")
        if "error" in report:
            raise UsageFailure(problem_text(report["error"], IN_THE_IMAGE, source.collection.root))
        functions = cast("list[FunctionSpec]", report["functions"])
        for function in functions:
            _check_size(function)
        count = len(functions)
        self._terminal.step(
            f"Found {count} {'function' if count == 1 else 'functions'} in main.py (Python {report['python']})"
        )
        return functions

    # --- publish ---

    def publish(self, prepared: Prepared, project_name: str) -> VersionDefinition:
        """Push the image, store the secrets, register the task definition; nothing of it runs yet."""
        if not isinstance(prepared, _Made):
            raise TypeError("publish takes what prepare returned")
        digest = self._push(prepared.image, project_name)
        reference = f"{self._deployment['repository_url']}@{digest}"
        release = secrets.token_hex(8)
        self._store_secrets(prepared.variables, project_name, release)
        definition = self._task_definition(project_name, reference, prepared.image, prepared.variables, release)
        with aws_errors("registering the task definition"):
            answer = self._account.client("ecs").register_task_definition(**definition)
        arn = answer["taskDefinition"]["taskDefinitionArn"]
        self._terminal.step(f"Registered task definition {arn.rsplit('/', 1)[1]}")
        return {"default_docker_image": reference, "functions": prepared.functions, "task_definition": arn}

    def _push(self, image: Image, project_name: str) -> str:
        """Return the digest under which the registry has the image; one that it has already is not pushed again."""
        repository_url = self._deployment["repository_url"]
        name = repository_url.split("/", 1)[1]
        tag = f"{project_name}.{image.image_id.removeprefix('sha256:')[:16]}"
        known = self._digest_of(name, tag)
        if known is not None:
            self._terminal.step("The registry has this image already")
            return known
        docker = Docker.found(self._terminal)
        pushed = docker.push(image, f"{repository_url}:{tag}", self._registry(repository_url))
        stored = self._digest_of(name, tag)
        if stored != pushed:
            raise ControlPlaneFailure(
                f"the registry has {stored or 'nothing'} under {tag}, but {pushed} was pushed: deploy again"
            )
        self._terminal.step(f"Pushed the image ({pushed[:19]})")
        return pushed

    def _digest_of(self, repository_name: str, tag: str) -> str | None:
        ecr = self._account.client("ecr")
        with aws_errors("looking into the image repository"):
            try:
                answer = ecr.describe_images(repositoryName=repository_name, imageIds=[{"imageTag": tag}])
            except ecr.exceptions.ImageNotFoundException:
                return None
        return str(answer["imageDetails"][0]["imageDigest"])

    def _registry(self, repository_url: str) -> Registry:
        with aws_errors("logging in to the image registry"):
            answer = self._account.client("ecr").get_authorization_token()
        token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
        user, _, password = token.partition(":")
        return Registry(repository_url.split("/", 1)[0], user, password)

    def _store_secrets(self, variables: dict[str, str], project_name: str, release: str) -> None:
        """Store each value of ``.env`` as a SecureString of this release: older versions keep theirs."""
        if not variables:
            return
        ssm = self._account.client("ssm")
        tags = [
            {"Key": "multinode:deployment", "Value": self._deployment["name"]},
            {"Key": "multinode:project", "Value": project_name},
        ]
        for name, value in variables.items():
            with aws_errors(f"storing {name} of .env"):
                ssm.put_parameter(
                    Name=self._secret_name(project_name, release, name), Value=value, Type="SecureString", Tags=tags
                )
        count = len(variables)
        self._terminal.step(f"Stored {count} {'variable' if count == 1 else 'variables'} as SSM SecureStrings")

    def _secret_name(self, project_name: str, release: str, variable: str) -> str:
        return f"{self._deployment['parameter_prefix']}/projects/{project_name}/env/{release}/{variable}"

    def _task_definition(
        self, project_name: str, reference: str, image: Image, variables: dict[str, str], release: str
    ) -> dict[str, Any]:
        return task_definition(
            self._deployment.values,
            project_name=project_name,
            image=reference,
            architecture=image.architecture,
            secrets={name: self._secret_name(project_name, release, name) for name in variables},
        )


def _check_values(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        length = len(value.encode())
        if length > MAX_PARAMETER_BYTES:
            raise UsageFailure(
                f"{name} in .env has {length} bytes; on AWS a value may have {MAX_PARAMETER_BYTES}. Put it into S3 or "
                "Secrets Manager, and its name into .env"
            )
        if not value:
            raise UsageFailure(
                f"{name} in .env is empty, which an SSM parameter cannot be: leave the line out, or give it a value"
            )


def _check_size(function: FunctionSpec) -> None:
    resources = function["resource_spec"]
    try:
        covering(resources["virtual_cpus"], resources["memory_gbs"])
    except NoTaskSize as error:
        raise UsageFailure(f"function {function['function_name']}: {error}") from error
