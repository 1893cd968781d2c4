"""Deploying to AWS: Dockerfile -> image -> functions found inside it -> registry -> secrets -> task definition.

Nothing that runs is touched until the version is registered, the control plane's one atomic step: a failure before it,
or Ctrl-C, leaves the old version serving. Only the schedules follow; if a deploy is interrupted before they are made,
the next one finishes it. What an interrupted deploy left behind (an image, parameters, a task definition) costs next to
nothing, is used again by the next deploy if it is the same, and is removed by `undeploy`.
"""

import base64
import json
import platform
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from multinode_cli.backends.aws.account import Account, Deployment, aws_errors
from multinode_cli.backends.aws.cleanup import AwsCleanup
from multinode_cli.backends.aws.docker import DiscoveryRun, Docker, Image, Registry
from multinode_cli.backends.aws.dockerfile import ImageSpec, read_image_spec, render, write_context
from multinode_cli.backends.aws.scheduler import ScheduleChanges, Scheduler, apply_schedules
from multinode_cli.backends.aws.secrets import check_variables, parameter_name, store_variables
from multinode_cli.backends.aws.task_definition import ARCHITECTURES, task_definition
from multinode_cli.backends.base import BuiltVersion, DeployOptions, Source
from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import one_line
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.bundle import store
from multinode_cli.project.discovery import problem_text
from multinode_cli.project.requirements import Requirements, read_requirements
from multinode_protocol.fargate_sizes import NoTaskSize, covering
from multinode_protocol.messages import DeploymentInfo, FunctionSpec, VersionDefinition, VersionInfo

IN_THE_IMAGE = Path("/multinode/code")
PRINTED_LINES = 15
SHOWN_DIGEST_CHARS = 19
NOT_YET = "DIGEST"
"""Placeholder in a dry run for what only a deploy computes: the keyed digest of the variables."""


class AwsBackend:
    """One deployment in the account that the user's AWS credentials are for."""

    def __init__(self, account: Account, deployment: Deployment, terminal: Terminal) -> None:
        self._account = account
        self._deployment = deployment
        self._terminal = terminal
        self.cleanup = AwsCleanup(account, deployment)

    @classmethod
    def of(cls, info: DeploymentInfo, terminal: Terminal) -> "AwsBackend":
        account = Account(info.get("region"))
        return cls(account, account.deployment_of(info), terminal)

    # --- building ---

    def build(self, source: Source, options: DeployOptions) -> BuiltVersion:
        """Build the image and find its functions."""
        check_variables(source.variables)
        docker = Docker.found(self._terminal)
        with tempfile.TemporaryDirectory(prefix="multinode-deploy-") as scratch:
            bundle = store(source.collection, Path(scratch, "bundles"))
            requirements = read_requirements(bundle.code_dir)
            spec = read_image_spec(
                bundle.code_dir, base_image=options.base_image, has_requirements=requirements is not None
            )
            image = self._build(docker, Path(scratch), bundle.code_dir, spec, requirements)
        functions = self._functions(docker.discover(image, source.variables), source)
        project_name, variables = options.project_name, source.variables
        names = {
            name: parameter_name(self._deployment, project_name, NOT_YET, name)
            for name, value in variables.items()
            if value
        }
        reference = f"{self._deployment['repository_url']}:{_tag(project_name, image)}"
        definition = self._task_definition(project_name, reference, image, variables, names)
        return BuiltVersion(
            functions,
            {"dockerfile": render(spec), "task_definition": definition},
            partial(self._publish, project_name, functions, docker, image, variables),
            description=f"{render(spec)}\n{json.dumps(definition, indent=2)}",
        )

    def _build(
        self, docker: Docker, scratch: Path, code_dir: Path, spec: ImageSpec, requirements: Requirements | None
    ) -> Image:
        context = scratch / "context"
        context.mkdir()
        write_context(context, spec, code_dir, requirements)
        image = docker.build(context)
        if image.architecture not in ARCHITECTURES:
            raise UsageFailure(
                f"the image is for {one_line(image.architecture, 40)}, which Fargate does not run. Build it for "
                "one that it runs: DOCKER_DEFAULT_PLATFORM=linux/amd64, or linux/arm64"
            )
        self._terminal.step(f"Built the image from {spec.base_image} ({image.architecture})")
        return image

    def _functions(self, run: DiscoveryRun, source: Source) -> list[FunctionSpec]:
        report = run.report
        if report is None:
            printed = "".join(f"\n  {line}" for line in run.printed.strip().splitlines()[-PRINTED_LINES:])
            raise UsageFailure(
                f"importing main.py inside the image ended the whole process (exit code {run.exit_code})"
                f"{'. It printed:' if printed else ''}{printed}"
            )
        if "error" in report:
            raise UsageFailure(problem_text(report["error"], IN_THE_IMAGE, source.collection.root))
        functions = cast("list[FunctionSpec]", report["functions"])
        for function in functions:
            _check_size(function)
        if any(function.get("schedule") for function in functions):
            Scheduler.of(self._deployment.values)  # reports at once if the deployment is too old for schedules
        python, count = str(report["python"]), len(functions)
        self._terminal.step(
            f"Found {count} {'function' if count == 1 else 'functions'} in main.py (Python {one_line(python, 20)})"
        )
        if _minor(python) != _minor(platform.python_version()):
            self._terminal.warning(
                f"the image has Python {one_line(python, 20)}, this machine {platform.python_version()}: arguments and "
                "results that are not plain JSON may not be readable on the other side"
            )
        return functions

    # --- publishing ---

    def _publish(
        self,
        project_name: str,
        functions: list[FunctionSpec],
        docker: Docker,
        image: Image,
        variables: dict[str, str],
    ) -> VersionDefinition:
        """Push the image, store the secrets, register the task definition."""
        digest = self._push(docker, image, project_name)
        reference = f"{self._deployment['repository_url']}@{digest}"
        names = store_variables(self._account, self._deployment, project_name, variables)
        if names:
            count = len(names)
            self._terminal.step(f"Stored {count} {'variable' if count == 1 else 'variables'} as SSM SecureStrings")
        definition = self._task_definition(project_name, reference, image, variables, names)
        with aws_errors("registering the task definition"):
            answer = self._account.client("ecs").register_task_definition(**definition)
        arn = answer["taskDefinition"]["taskDefinitionArn"]
        self._terminal.step(f"Registered task definition {arn.rsplit('/', 1)[1]}")
        return {"default_docker_image": reference, "functions": functions, "task_definition": arn}

    # --- afterwards ---

    def registered(self, newest: Callable[[], VersionInfo]) -> None:
        """Make the project's schedules of EventBridge Scheduler those of its newest version."""
        scheduler = Scheduler.if_installed(self._deployment.values)
        if scheduler is None:
            return
        version = newest()
        try:
            changes = apply_schedules(
                self._account.client("scheduler"),
                scheduler,
                version["project_name"],
                version["functions"],
                now=datetime.now(UTC),
            )
        except ControlPlaneFailure as failure:
            raise ControlPlaneFailure(
                f"{failure.message}. Version {version['version_id']} is registered and serves, but not all of its "
                "schedules exist yet: fix this, then deploy again"
            ) from failure
        if text := _schedules_text(changes):
            self._terminal.step(text)

    def _push(self, docker: Docker, image: Image, project_name: str) -> str:
        """Return the image's digest in the registry; an image that it already has is not pushed again."""
        repository_url, tag = self._deployment["repository_url"], _tag(project_name, image)
        known = self._digest_of(tag)
        if known is not None:
            self._terminal.step(f"The registry already has this image ({known[:SHOWN_DIGEST_CHARS]})")
            return known
        pushed = docker.push(image, f"{repository_url}:{tag}", self._registry(repository_url))
        stored = self._digest_of(tag)
        if stored != pushed:
            raise ControlPlaneFailure(
                f"the registry has {stored or 'nothing'} under {tag}, but {pushed} was pushed: deploy again"
            )
        self._terminal.step(f"Pushed the image ({pushed[:SHOWN_DIGEST_CHARS]})")
        return pushed

    def _digest_of(self, tag: str) -> str | None:
        ecr = self._account.client("ecr")
        with aws_errors("looking into the image repository"):
            try:
                answer = ecr.describe_images(repositoryName=self._deployment.repository, imageIds=[{"imageTag": tag}])
            except ecr.exceptions.ImageNotFoundException:
                return None
        return str(answer["imageDetails"][0]["imageDigest"])

    def _registry(self, repository_url: str) -> Registry:
        with aws_errors("logging in to the image registry"):
            answer = self._account.client("ecr").get_authorization_token()
        token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
        user, _, password = token.partition(":")
        return Registry(repository_url.split("/", 1)[0], user, password)

    def _task_definition(
        self, project_name: str, reference: str, image: Image, variables: Mapping[str, str], names: Mapping[str, str]
    ) -> dict[str, Any]:
        return task_definition(
            self._deployment.values,
            project_name=project_name,
            image=reference,
            architecture=image.architecture,
            secrets=names,
            empty=variables.keys() - names.keys(),
        )


def _schedules_text(changes: ScheduleChanges) -> str:
    """Return what was done with schedules, in words; empty if there are and were none."""
    counts = (
        (len(changes.created), "made"),
        (len(changes.updated), "changed"),
        (len(changes.kept), "kept"),
        (len(changes.deleted), "deleted"),
    )
    text = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"Schedules: {text}" if text else ""


def _tag(project_name: str, image: Image) -> str:
    """Return the tag of an image: it follows from the content, and begins with the project, which has no dot."""
    return f"{project_name}.{image.image_id.removeprefix('sha256:')[:16]}"


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _check_size(function: FunctionSpec) -> None:
    resources = function["resource_spec"]
    try:
        covering(resources["virtual_cpus"], resources["memory_gbs"])
    except NoTaskSize as error:
        raise UsageFailure(f"function {function['function_name']}: {error}") from error
