"""The checks of `multinode doctor`: each says what it found, and how to fix a problem."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from typing import Any

from multinode.config import connection
from multinode.errors import ApiError, ControlPlaneNotConfiguredError
from multinode_cli.aws_install.terraform import found_version
from multinode_cli.backends.aws.account import Account, Deployment, aws_errors
from multinode_cli.backends.aws.docker import Docker
from multinode_cli.client.api import Api
from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import one_line
from multinode_cli.errors import CliFailure, UsageFailure

SMALLEST_TASK_VCPUS = 0.25
FEW_VCPUS = 16
"""Below this, the quota is the first limit that a project with parallel subtasks reaches."""
NEEDED_LAMBDA_CONCURRENCY = 131
"""The module reserves 31, and Lambda keeps 100 unreserved."""
ON_DEMAND, SPOT = ("L-3032A538", "FARGATE"), ("L-36FBB829", "FARGATE_SPOT")
"""Codes of the service quotas "Fargate On-Demand/Spot vCPU resource count", and the capacity providers."""
LAMBDA_QUOTA = "L-B99A9384"
INTERNET = "0.0.0.0/0"


class CheckStatus(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`detail` says what was found; `remedy` how to fix it."""

    name: str
    status: CheckStatus
    detail: str
    remedy: str | None = None


def run_checks(name: str, region: str | None, terminal: Terminal) -> Iterator[CheckResult]:
    """Yield the result of each check of the deployment `name` once done; what depends on a failed one is skipped."""
    yield _guarded("terraform", _terraform, CheckStatus.WARNING)
    yield _guarded("docker", lambda: _docker(terminal))
    account: list[Account] = []
    yield _guarded("credentials", lambda: _credentials(region, account))
    if not account:
        for skipped in ("deployment", "version", "cluster", "api", "login", "network", "fargate", "lambda"):
            yield CheckResult(skipped, CheckStatus.SKIPPED, "needs AWS credentials")
        return
    found: list[Deployment] = []
    yield _guarded("deployment", lambda: _deployment(account[0], name, found))
    yield from _of_deployment(account[0], name, found[0] if found else None)
    yield _guarded("lambda", lambda: _lambda_quota(account[0]), CheckStatus.WARNING)


def _of_deployment(account: Account, name: str, deployment: Deployment | None) -> Iterator[CheckResult]:
    providers = ["FARGATE"]
    if deployment is None:
        for skipped in ("version", "cluster", "api", "login"):
            yield CheckResult(skipped, CheckStatus.SKIPPED, "needs a deployment")
    else:
        yield _version(deployment)
        yield _guarded("cluster", lambda: _cluster(account, deployment, providers))
        yield _guarded("api", lambda: _api(account, name))
        yield _guarded("login", lambda: _login(deployment), CheckStatus.WARNING)
    yield _guarded("network", lambda: _network(account, deployment))
    for quota, provider in (ON_DEMAND, SPOT):
        if provider in providers:
            yield _guarded(provider.lower(), partial(_fargate_quota, account, quota, provider), CheckStatus.WARNING)


def _guarded(name: str, check: Callable[[], CheckResult], otherwise: CheckStatus = CheckStatus.PROBLEM) -> CheckResult:
    """Return what `check` finds; a failure is a result as well, and its message says how to fix it."""
    try:
        return check()
    except CliFailure as failure:
        return CheckResult(name, otherwise, failure.message)
    except ApiError as error:
        return CheckResult(name, otherwise, error.detail, error.hint or None)


# --- this machine -----------------------------------------------------------------------------------------------------


def _terraform() -> CheckResult:
    program, terraform_version = found_version()
    return CheckResult("terraform", CheckStatus.OK, f"{terraform_version} ({program}); for install and uninstall")


def _docker(terminal: Terminal) -> CheckResult:
    return CheckResult("docker", CheckStatus.OK, f"engine {Docker.found(terminal).version()}; for deploy")


# --- the account ------------------------------------------------------------------------------------------------------


def _credentials(region: str | None, account: list[Account]) -> CheckResult:
    made = Account(region)
    caller = made.caller()
    account.append(made)
    return CheckResult(
        "credentials", CheckStatus.OK, f"account {caller.account_id}, {made.region}, as {one_line(caller.arn)}"
    )


def _deployment(account: Account, name: str, found: list[Deployment]) -> CheckResult:
    try:
        deployment = account.deployment(name)
    except UsageFailure as failure:
        remedy = f"multinode install --name {name}, or --name and --region of another"
        return CheckResult("deployment", CheckStatus.WARNING, failure.message, remedy)
    found.append(deployment)
    return CheckResult("deployment", CheckStatus.OK, f"{deployment['name']} at {deployment['api_url']}")


def _version(deployment: Deployment) -> CheckResult:
    ours, theirs = version("multinode"), one_line(str(deployment.values.get("version", "unknown")), 40)
    if ours == theirs:
        return CheckResult("version", CheckStatus.OK, f"{ours} on both sides")
    return CheckResult(
        "version",
        CheckStatus.WARNING,
        f"this command is {ours}, the deployment {theirs}",
        f"install Multinode {theirs} here, or update the deployment to {ours}: `multinode install`, `terraform apply`",
    )


def _cluster(account: Account, deployment: Deployment, providers: list[str]) -> CheckResult:
    with aws_errors("looking at the cluster"):
        found = account.client("ecs").describe_clusters(clusters=[deployment["cluster"]])["clusters"]
    if not found or found[0]["status"] != "ACTIVE":
        status = found[0]["status"] if found else "gone"
        return CheckResult(
            "cluster", CheckStatus.PROBLEM, f"{deployment['cluster']} is {status}", "apply the Terraform again"
        )
    strategy = found[0].get("defaultCapacityProviderStrategy") or [{"capacityProvider": "FARGATE", "weight": 1}]
    providers[:] = [each["capacityProvider"] for each in strategy if each.get("weight", 0) > 0]
    running = found[0].get("runningTasksCount", 0)
    return CheckResult("cluster", CheckStatus.OK, f"{running} running, on {' and '.join(providers)}")


def _api(account: Account, name: str) -> CheckResult:
    info = Api(account.connection(name)).deployment()
    return CheckResult(
        "api", CheckStatus.OK, f"answers and accepts the key; multinode {one_line(info['multinode_version'], 40)}"
    )


def _login(deployment: Deployment) -> CheckResult:
    remedy = f"multinode login --from-aws --name {deployment['name']} --region {deployment['region']}"
    try:
        used = connection()
    except ControlPlaneNotConfiguredError as error:
        return CheckResult("login", CheckStatus.WARNING, str(error), remedy)
    if used.api_url != deployment["api_url"]:
        return CheckResult("login", CheckStatus.WARNING, f"commands use {used.api_url} (from {used.source})", remedy)
    Api(used).deployment()
    return CheckResult("login", CheckStatus.OK, f"commands use it (from {used.source})")


# --- the network ------------------------------------------------------------------------------------------------------


def _network(account: Account, deployment: Deployment | None) -> CheckResult:
    ec2 = account.client("ec2")
    network = None if deployment is None else deployment.values.get("network")
    with aws_errors("looking at the subnets"):
        if network is None:
            network = _default_network(ec2)
        if not network["subnet_ids"]:
            return CheckResult(
                "network",
                CheckStatus.PROBLEM,
                "the region has no default VPC with default subnets",
                "aws ec2 create-default-vpc, or name a network: multinode install --set network='{\"vpc_id\": …}'",
            )
        tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [network["vpc_id"]]}])["RouteTables"]
    ways = {subnet: way_out(subnet, tables, public_ip=network["assign_public_ip"]) for subnet in network["subnet_ids"]}
    closed = {subnet: way for subnet, way in ways.items() if way.startswith("no ")}
    if not closed:
        return CheckResult("network", CheckStatus.OK, f"{len(ways)} subnets of {network['vpc_id']} reach the internet")
    subnet, why = next(iter(closed.items()))
    return CheckResult(
        "network",
        CheckStatus.PROBLEM,
        f"a worker in {subnet} reaches neither the image registry nor the API: {why}",
        "public subnets need assign_public_ip=true, others a route to a NAT gateway",
    )


def _default_network(ec2: Any) -> dict[str, Any]:
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        return {"vpc_id": None, "subnet_ids": [], "assign_public_ip": True}
    vpc_id = vpcs[0]["VpcId"]
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "default-for-az", "Values": ["true"]}]
    subnets = ec2.describe_subnets(Filters=filters)["Subnets"]
    return {"vpc_id": vpc_id, "subnet_ids": [each["SubnetId"] for each in subnets], "assign_public_ip": True}


def way_out(subnet_id: str, route_tables: Sequence[Mapping[str, Any]], *, public_ip: bool) -> str:
    """Return how a worker in a subnet reaches the internet, or ``no …`` and why it does not.

    `route_tables` are those of the VPC, as `DescribeRouteTables` gives them; a subnet without its own uses the
    main one.
    """
    own = [table for table in route_tables if _is_of(table, "SubnetId", subnet_id)]
    main = [table for table in route_tables if _is_of(table, "Main", True)]
    for table in (own or main)[:1]:
        for route in table.get("Routes", []):
            if route.get("DestinationCidrBlock") != INTERNET or route.get("State") == "blackhole":
                continue
            if str(route.get("GatewayId", "")).startswith("igw-"):
                return "its own public address" if public_ip else "no public address, though the subnet is a public one"
            return "a NAT gateway, or another target of the route"
    return f"no route to {INTERNET}"


def _is_of(table: Mapping[str, Any], field: str, value: object) -> bool:
    return any(association.get(field) == value for association in table.get("Associations", []))


# --- quotas -----------------------------------------------------------------------------------------------------------


def _fargate_quota(account: Account, quota: str, provider: str) -> CheckResult:
    name = provider.lower()
    with aws_errors("asking for the Fargate quota"):
        answer = account.client("service-quotas").get_service_quota(ServiceCode="fargate", QuotaCode=quota)
    vcpus = float(answer["Quota"]["Value"])
    detail = f"{vcpus:g} vCPUs at once: {int(vcpus / SMALLEST_TASK_VCPUS)} of the smallest containers; more wait"
    if vcpus >= FEW_VCPUS:
        return CheckResult(name, CheckStatus.OK, detail)
    return CheckResult(name, CheckStatus.WARNING, detail, _ask_for_more("fargate", quota, 64))


def lambda_concurrency(account: Account) -> int:
    """Return how many Lambda calls the account may run at once. Raises ControlPlaneFailure."""
    with aws_errors("asking for the account's Lambda concurrency"):
        return int(account.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"])


def _lambda_quota(account: Account) -> CheckResult:
    limit = lambda_concurrency(account)
    if limit >= NEEDED_LAMBDA_CONCURRENCY:
        return CheckResult("lambda", CheckStatus.OK, f"{limit} calls at once")
    return CheckResult(
        "lambda",
        CheckStatus.WARNING,
        f"{limit} calls at once: too few to reserve any (reserve_concurrency=false), and the API is soon throttled",
        _ask_for_more("lambda", LAMBDA_QUOTA, 1000),
    )


def _ask_for_more(service: str, quota: str, value: int) -> str:
    return (
        f"aws service-quotas request-service-quota-increase --service-code {service} --quota-code {quota} "
        f"--desired-value {value}"
    )
