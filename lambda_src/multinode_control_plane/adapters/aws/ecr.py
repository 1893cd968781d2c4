"""Credentials of the image repository, which the first generation's command line asks the API for.

They allow what the API's own role may do: push to and pull from the one repository.
"""

import base64

from multinode_control_plane.adapters.aws.clients import Clients


class EcrCredentials:
    """Returns credentials that are valid for 12 hours. `repository_url` is ``<account's registry>/<repository>``."""

    def __init__(self, clients: Clients, repository_url: str) -> None:
        self._clients = clients
        self._repository_url = repository_url

    def __call__(self) -> dict[str, str]:
        """Return the body of ``GET /container_repository_credentials``."""
        (authorization,) = self._clients.ecr.get_authorization_token()["authorizationData"][:1]
        username, _, password = base64.b64decode(authorization["authorizationToken"]).decode().partition(":")
        return {
            "repository_name": self._repository_url.partition("/")[2],
            "username": username,
            "password": password,
            "endpoint_url": authorization["proxyEndpoint"],
        }
