"""Routes of the deployment, its projects and their versions."""

from multinode_control_plane.api import rendering
from multinode_control_plane.api.routing import Access, Call, Route
from multinode_control_plane.api.validation import new_project_name, version_request
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.services import access, projects
from multinode_protocol import messages
from multinode_protocol.error_codes import ErrorCode


def get_health(call: Call) -> dict[str, object]:
    deployment = call.ports.deployment
    return {"status": "healthy", "backend": deployment["backend"], "api_version": deployment["api_version"]}


def get_deployment(call: Call) -> messages.DeploymentInfo:
    return call.ports.deployment


def get_repository_credentials(call: Call) -> dict[str, str]:
    if call.ports.repository_credentials is None:
        detail = (
            f"the backend {call.ports.deployment['backend']} has no container repository; `multinode deploy` needs none"
        )
        raise Refused(ErrorCode.NOT_SUPPORTED_BY_BACKEND, detail)
    return dict(call.ports.repository_credentials())


def list_projects(call: Call) -> messages.ProjectsList:
    return {"projects": [rendering.project_info(project) for project in projects.list_all(call.context)]}


def put_project(call: Call) -> messages.ProjectInfo:
    return rendering.project_info(projects.create(call.context, new_project_name(call["project_name"])))


def get_project(call: Call) -> messages.ProjectInfo:
    return rendering.project_info(projects.load(call.context, call["project_name"]))


def delete_project(call: Call) -> messages.ProjectInfo:
    return rendering.project_info(projects.request_deletion(call.context, call["project_name"]))


def post_version(call: Call) -> messages.VersionInfo:
    version = projects.create_version(call.context, call["project_name"], version_request(call.request.json()))
    return rendering.version_info(version, with_backend=True)


def list_versions(call: Call) -> messages.VersionsList:
    versions = projects.list_versions(call.context, call["project_name"])
    return {
        "project_name": call["project_name"],
        "versions": [rendering.version_listing(version) for version in versions],
    }


def get_version(call: Call) -> messages.VersionInfo:
    access.require_project(call.caller, call["project_name"])
    version = projects.load_version(call.context, call["project_name"], call["version"])
    return rendering.version_info(version, with_backend=call.caller.scope is None)


VERSIONS = "/projects/<project_name>/versions"

ROUTES = (
    Route("GET", "/", Access.ANYONE, get_health),
    Route("GET", "/deployment", Access.KEY, get_deployment),
    Route("GET", "/container_repository_credentials", Access.KEY, get_repository_credentials),
    Route("GET", "/projects", Access.KEY, list_projects),
    Route("PUT", "/projects/<project_name>", Access.KEY, put_project),
    Route("GET", "/projects/<project_name>", Access.KEY, get_project),
    Route("DELETE", "/projects/<project_name>", Access.KEY, delete_project),
    Route("POST", VERSIONS, Access.KEY, post_version),
    Route("GET", VERSIONS, Access.KEY, list_versions),
    Route("GET", f"{VERSIONS}/<version>", Access.LIVING, get_version),
)
