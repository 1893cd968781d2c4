"""The control plane's own word for its backend -> the code that deploys to it."""

from multinode_cli.backends.base import Backend
from multinode_cli.client.api import Api
from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import one_line
from multinode_cli.errors import ControlPlaneFailure


def backend_of(api: Api, terminal: Terminal) -> Backend:
    """Return the backend of the control plane's deployment; only its own modules are imported.

    Raises ControlPlaneFailure for one that this version does not know, and on AWS without credentials for the account.
    """
    deployment = api.deployment()
    match deployment["backend"]:
        case "local":
            from multinode_cli.backends.local.target import LocalBackend

            return LocalBackend(api, deployment.get("data_dir"), terminal)
        case "ecs":
            from multinode_cli.backends.aws.target import AwsBackend

            return AwsBackend.of(deployment, terminal)
    raise ControlPlaneFailure(
        f"this multinode cannot deploy to a control plane with the backend {one_line(deployment['backend'])}, nor "
        "undeploy from it; install the version that belongs to it"
    )
