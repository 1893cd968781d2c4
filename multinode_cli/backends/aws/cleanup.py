"""Removing what deploys to AWS made: schedules, images, task definitions, secrets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from multinode_cli.backends.aws.account import Account, Deployment, aws_errors
from multinode_cli.backends.aws.scheduler import Scheduler, delete_schedules, schedule_names
from multinode_cli.errors import ControlPlaneFailure

IMAGES_AT_ONCE = 100
TASK_DEFINITIONS_AT_ONCE = 10
PARAMETERS_AT_ONCE = 10
ALREADY_GONE = {"ImageNotFound"}


@dataclass(frozen=True, slots=True)
class AwsLeftovers:
    """What there is of a project, or of all projects: tags of images, ARNs of task definitions, names of the others."""

    account: Account
    deployment: Deployment
    images: list[str]
    active: list[str]
    inactive: list[str]
    parameters: list[str]
    schedules: list[str]

    def __bool__(self) -> bool:
        return bool(self.images or self.active or self.inactive or self.parameters or self.schedules)

    def __str__(self) -> str:
        counts = (
            (len(self.images), "image"),
            (len(self.active) + len(self.inactive), "task definition"),
            (len(self.parameters), "SSM parameter"),
            (len(self.schedules), "schedule"),
        )
        return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts if count)

    def remove(self) -> None:
        ecr, ecs, ssm = (self.account.client(service) for service in ("ecr", "ecs", "ssm"))
        _delete_schedules(self.account, self.deployment, self.schedules)
        with aws_errors("removing images"):
            for tags in _batches(self.images, IMAGES_AT_ONCE):
                ids = [{"imageTag": tag} for tag in tags]
                _check(ecr.batch_delete_image(repositoryName=self.deployment.repository, imageIds=ids), "failureCode")
        with aws_errors("removing task definitions"):
            for arn in self.active:
                ecs.deregister_task_definition(taskDefinition=arn)
            for arns in _batches([*self.active, *self.inactive], TASK_DEFINITIONS_AT_ONCE):
                _check(ecs.delete_task_definitions(taskDefinitions=arns), "reason")
        with aws_errors("removing secrets"):
            for names in _batches(self.parameters, PARAMETERS_AT_ONCE):
                ssm.delete_parameters(Names=names)


class AwsCleanup:
    """See `base.Cleanup`."""

    def __init__(self, account: Account, deployment: Deployment) -> None:
        self._account = account
        self._deployment = deployment

    def stop_schedules(self, project_name: str) -> None:
        """Delete the project's schedules."""
        _delete_schedules(self._account, self._deployment, self._schedules(project_name))

    def leftovers(self, project_name: str | None) -> AwsLeftovers:
        """Return what deploys of the project made; with None, of every project. Raises ControlPlaneFailure."""
        return AwsLeftovers(
            self._account,
            self._deployment,
            images=list(self._images(project_name)),
            active=list(self._task_definitions(project_name, "ACTIVE")),
            inactive=list(self._task_definitions(project_name, "INACTIVE")),
            parameters=list(self._parameters(project_name)),
            schedules=self._schedules(project_name),
        )

    def _schedules(self, project_name: str | None) -> list[str]:
        scheduler = Scheduler.if_installed(self._deployment.values)
        return [] if scheduler is None else schedule_names(self._account.client("scheduler"), scheduler, project_name)

    def _images(self, project_name: str | None) -> Iterator[str]:
        with aws_errors("looking for images"):
            pages = self._account.client("ecr").get_paginator("list_images")
            for page in pages.paginate(repositoryName=self._deployment.repository):
                for image in page["imageIds"]:
                    tag = image.get("imageTag", "")
                    if tag and project_name in (None, tag.rpartition(".")[0]):
                        yield tag

    def _task_definitions(self, project_name: str | None, status: str) -> Iterator[str]:
        ecs, prefix = self._account.client("ecs"), self._deployment["task_family_prefix"]
        with aws_errors("looking for task definitions"):
            if project_name is None:
                pages = ecs.get_paginator("list_task_definition_families").paginate(familyPrefix=prefix, status=status)
                families = [family for page in pages for family in page["families"] if family.startswith(prefix)]
            else:
                families = [f"{prefix}{project_name}"]
            for family in families:
                for page in ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status=status):
                    # An exact look: not every implementation takes the whole name for the prefix.
                    yield from (arn for arn in page["taskDefinitionArns"] if _family(arn) == family)

    def _parameters(self, project_name: str | None) -> Iterator[str]:
        path = f"{self._deployment['parameter_prefix']}/projects{f'/{project_name}' if project_name else ''}"
        with aws_errors("looking for secrets"):
            pages = self._account.client("ssm").get_paginator("get_parameters_by_path")
            for page in pages.paginate(Path=path, Recursive=True, WithDecryption=False):
                yield from (parameter["Name"] for parameter in page["Parameters"])


def _delete_schedules(account: Account, deployment: Deployment, names: Sequence[str]) -> None:
    scheduler = Scheduler.if_installed(deployment.values)
    if scheduler is not None:
        delete_schedules(account.client("scheduler"), scheduler, names)


def _family(arn: str) -> str:
    return arn.rsplit("/", 1)[1].rsplit(":", 1)[0]


def _batches(names: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield list(names[start : start + size])


def _check(answer: dict[str, Any], reason: str) -> None:
    """Raise ControlPlaneFailure for what a batch could not remove and what is still there."""
    failures = [failure for failure in answer.get("failures", []) if failure.get("failureCode") not in ALREADY_GONE]
    if failures:
        first = failures[0]
        raise ControlPlaneFailure(
            f"{len(failures)} could not be removed; {first.get('arn') or first.get('imageId')}: {first.get(reason)}"
        )
