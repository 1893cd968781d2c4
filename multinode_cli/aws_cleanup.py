"""① Removing what deploys to AWS made for a project: images, task definitions, secrets."""

from multinode_cli.aws_account import Account, Deployment, aws_errors

__all__ = ["remove_project"]


def remove_project(account: Account, deployment: Deployment, project_name: str) -> None:
    """Remove what deploys made for a project: images, task definitions, secrets. Running it again does no harm."""
    _remove_images(account, deployment, project_name)
    _remove_task_definitions(account, deployment, project_name)
    _remove_parameters(account, deployment, project_name)


def _remove_images(account: Account, deployment: Deployment, project_name: str) -> None:
    ecr, name = account.client("ecr"), deployment["repository_url"].split("/", 1)[1]
    with aws_errors("removing the project's images"):
        pages = ecr.get_paginator("list_images").paginate(repositoryName=name)
        found = [
            {"imageTag": image["imageTag"]}
            for page in pages
            for image in page["imageIds"]
            if image.get("imageTag", "").startswith(f"{project_name}.")
        ]
        for start in range(0, len(found), 100):
            ecr.batch_delete_image(repositoryName=name, imageIds=found[start : start + 100])


def _remove_task_definitions(account: Account, deployment: Deployment, project_name: str) -> None:
    ecs, family = account.client("ecs"), f"{deployment['task_family_prefix']}{project_name}"
    with aws_errors("removing the project's task definitions"):
        for status in ("ACTIVE", "INACTIVE"):
            pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status=status)
            arns = [arn for page in pages for arn in page["taskDefinitionArns"]]
            mine = [arn for arn in arns if arn.rsplit("/", 1)[1].rsplit(":", 1)[0] == family]
            for arn in mine if status == "ACTIVE" else ():
                ecs.deregister_task_definition(taskDefinition=arn)
            for start in range(0, len(mine), 10) if status == "INACTIVE" else ():
                ecs.delete_task_definitions(taskDefinitions=mine[start : start + 10])


def _remove_parameters(account: Account, deployment: Deployment, project_name: str) -> None:
    ssm = account.client("ssm")
    path = f"{deployment['parameter_prefix']}/projects/{project_name}/"
    with aws_errors("removing the project's secrets"):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        names = [parameter["Name"] for page in pages for parameter in page["Parameters"]]
        for start in range(0, len(names), 10):
            ssm.delete_parameters(Names=names[start : start + 10])
