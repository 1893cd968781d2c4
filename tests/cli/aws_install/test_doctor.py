"""doctor: what it finds in an account in memory, and what it says to do about it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from multinode_cli.aws_install.checks import way_out
from multinode_cli.backends.aws.account import Account
from tests.cli.conftest import Multinode, Outcome
from tests.support.cli.account import TestAccount
from tests.support.cli.docker import FakeDocker, Said
from tests.support.cli.terraform import FakeTerraform
from tests.support.control_plane import FakeControlPlane

pytestmark = pytest.mark.slow(about_s=45)

INTERNET = "0.0.0.0/0"


@pytest.fixture
def quotas(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The account's quotas, which moto does not know."""
    values: dict[str, float] = {"fargate": 64, "spot": 64, "lambda": 1000}
    real = Account.client

    class Lambda:
        def get_account_settings(self) -> dict[str, Any]:
            return {"AccountLimit": {"ConcurrentExecutions": int(values["lambda"])}}

    class ServiceQuotas:
        def get_service_quota(self, *, ServiceCode: str, QuotaCode: str) -> dict[str, Any]:
            assert ServiceCode == "fargate"
            return {"Quota": {"Value": values[{"L-3032A538": "fargate", "L-36FBB829": "spot"}[QuotaCode]]}}

    fakes: dict[str, Any] = {"lambda": Lambda(), "service-quotas": ServiceQuotas()}
    monkeypatch.setattr(Account, "client", lambda account, service: fakes.get(service) or real(account, service))
    return values


@pytest.fixture
def doctor(
    multinode: Multinode,
    aws_plane: FakeControlPlane,
    account: TestAccount,
    docker: FakeDocker,
    terraform: FakeTerraform,
    quotas: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A deployment with which all is well: its subnet has a route to the internet, and its version is this one's."""
    from importlib.metadata import version

    account.install("main", aws_plane.url, version=version("multinode"), network=public_network(account))

    def call(*options: str, name: str = "main") -> Outcome:
        return multinode("doctor", "--name", name, *options)

    return call


def public_network(account: TestAccount) -> dict[str, Any]:
    """Make a VPC with one public subnet."""
    ec2 = account.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["RouteTables"]
    ec2.create_route(RouteTableId=tables[0]["RouteTableId"], DestinationCidrBlock=INTERNET, GatewayId=gateway)
    return {"vpc_id": vpc_id, "subnet_ids": [subnet_id], "assign_public_ip": True}


def findings(done: Outcome) -> dict[str, Mapping[str, Any]]:
    return {check["name"]: check for check in json.loads(done.out)["checks"]}


def test_all_is_well(doctor: Any) -> None:
    done = doctor()
    assert (done.code, done.err.strip()) == (0, "All is well"), done.out
    names = [line.split()[1] for line in done.out.splitlines()]
    assert names == [
        *("terraform", "docker", "credentials", "deployment", "version", "cluster", "api", "login"),
        *("network", "fargate", "lambda"),
    ]


def test_as_json_every_check_has_its_status_and_remedy(doctor: Any, quotas: dict[str, float]) -> None:
    quotas["fargate"] = 6
    done = doctor("--json")
    assert json.loads(done.out)["ok"] is True
    # 6 vCPUs hold 24 containers of a quarter.
    assert findings(done)["fargate"] == {
        "name": "fargate",
        "status": "warning",
        "detail": "6 vCPUs at once: 24 of the smallest containers; more wait",
        "remedy": "aws service-quotas request-service-quota-increase --service-code fargate --quota-code L-3032A538 "
        "--desired-value 64",
    }


def test_a_small_lambda_concurrency_is_a_warning(doctor: Any, quotas: dict[str, float]) -> None:
    quotas["lambda"] = 10
    done = doctor()
    assert done.code == 0
    assert "10 calls at once: too few to reserve any" in done.out
    assert "No problems; 1 warning" in done.err


def test_an_engine_that_does_not_run_is_a_problem(doctor: Any, docker: FakeDocker) -> None:
    docker.says(version=Said(["Is the docker daemon running?"], 1))
    done = doctor()
    assert done.code == 3
    assert "Docker does not answer: Is the docker daemon running?" in done.out
    assert "1 problem" in done.err


def test_an_old_terraform_is_a_warning_since_install_alone_needs_it(doctor: Any, terraform: FakeTerraform) -> None:
    terraform.does(version="1.5.7")
    done = doctor("--json")
    assert done.code == 0
    assert findings(done)["terraform"]["status"] == "warning"
    assert "Terraform 1.5.7 is too old" in findings(done)["terraform"]["detail"]


def test_another_version_there_is_a_warning(doctor: Any, account: TestAccount, aws_plane: FakeControlPlane) -> None:
    account.install("main", aws_plane.url, version="1.9.9", network=public_network(account))
    found = findings(doctor("--json"))["version"]
    assert found["status"] == "warning"
    assert "the deployment 1.9.9" in found["detail"]
    assert "install Multinode 1.9.9 here" in found["remedy"]


def test_commands_that_talk_to_another_control_plane_are_a_warning(
    doctor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTINODE_API_URL", "https://other.example")
    found = findings(doctor("--json"))["login"]
    assert found["status"] == "warning"
    assert found["detail"] == "commands use https://other.example (from environment)"
    assert found["remedy"] == "multinode login --from-aws --name main --region eu-west-1"


def test_an_api_that_does_not_answer_is_a_problem(doctor: Any, aws_plane: FakeControlPlane) -> None:
    aws_plane.go_away()
    done = doctor("--json")
    assert done.code == 3
    assert findings(done)["api"]["status"] == "problem"


def test_a_subnet_without_a_way_out_is_a_problem(
    doctor: Any, account: TestAccount, aws_plane: FakeControlPlane
) -> None:
    network = public_network(account) | {"assign_public_ip": False}
    account.install("main", aws_plane.url, network=network)
    done = doctor("--json")
    assert done.code == 3
    found = findings(done)["network"]
    assert "no public address, though the subnet is a public one" in found["detail"]
    assert found["remedy"] == "public subnets need assign_public_ip=true, others a route to a NAT gateway"


def test_a_deployment_that_is_not_there_leaves_its_checks_out(doctor: Any) -> None:
    found = findings(doctor("--json", name="mainn"))
    assert found["deployment"]["status"] == "warning"
    assert "Did you mean 'main'?" in found["deployment"]["detail"]
    assert {name for name, check in found.items() if check["status"] == "skipped"} == {
        "version",
        "cluster",
        "api",
        "login",
    }


def test_a_cluster_that_runs_on_spot_has_that_quota_looked_at(
    doctor: Any, account: TestAccount, quotas: dict[str, float]
) -> None:
    account.client("ecs").put_cluster_capacity_providers(
        cluster="multinode-main",
        capacityProviders=["FARGATE", "FARGATE_SPOT"],
        defaultCapacityProviderStrategy=[
            {"capacityProvider": "FARGATE_SPOT", "weight": 1},
            {"capacityProvider": "FARGATE", "weight": 0},
        ],
    )
    quotas["spot"] = 4
    found = findings(doctor("--json"))
    assert "fargate" not in found
    assert "L-36FBB829" in found["fargate_spot"]["remedy"]


def test_without_credentials_what_needs_them_is_left_out(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from multinode_cli.errors import ControlPlaneFailure

    def no_caller(_account: Account) -> None:
        raise ControlPlaneFailure("signing in to AWS needs AWS credentials, but there are none")

    monkeypatch.setattr(Account, "caller", no_caller)
    done = doctor("--json")
    assert done.code == 3
    found = findings(done)
    assert found["credentials"]["status"] == "problem"
    assert found["docker"]["status"] == "ok"
    assert found["api"]["status"] == found["lambda"]["status"] == "skipped"


ROUTE_OUT = {"DestinationCidrBlock": INTERNET, "GatewayId": "igw-1", "State": "active"}
NAT = {"DestinationCidrBlock": INTERNET, "NatGatewayId": "nat-1", "State": "active"}
LOCAL = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}


def table(*routes: Mapping[str, Any], **association: Any) -> dict[str, Any]:
    return {"Associations": [association], "Routes": list(routes)}


@pytest.mark.parametrize(
    ("tables", "public_ip", "way"),
    [
        ([table(LOCAL, ROUTE_OUT, Main=True)], True, "its own public address"),
        ([table(LOCAL, ROUTE_OUT, Main=True)], False, "no public address, though the subnet is a public one"),
        ([table(LOCAL, NAT, Main=True)], False, "a NAT gateway, or another target of the route"),
        ([table(LOCAL, Main=True)], True, "no route to 0.0.0.0/0"),
        ([], True, "no route to 0.0.0.0/0"),
        # A subnet's own table takes precedence over the main one; another subnet's table does not concern it.
        ([table(ROUTE_OUT, Main=True), table(LOCAL, SubnetId="subnet-1")], True, "no route to 0.0.0.0/0"),
        ([table(ROUTE_OUT, SubnetId="subnet-2"), table(LOCAL, Main=True)], True, "no route to 0.0.0.0/0"),
        ([table({**NAT, "State": "blackhole"}, Main=True)], False, "no route to 0.0.0.0/0"),
    ],
)
def test_the_way_out_of_a_subnet(tables: list[dict[str, Any]], public_ip: bool, way: str) -> None:
    assert way_out("subnet-1", tables, public_ip=public_ip) == way


def test_before_an_installation_the_default_vpc_is_looked_at(doctor: Any, account: TestAccount) -> None:
    # Moto's default VPC has default subnets, and no gateway.
    found = findings(doctor("--json", name="new"))["network"]
    assert found["status"] == "problem"
    ec2 = account.client("ec2")
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    found = findings(doctor("--json", name="new"))["network"]
    assert found["detail"] == "the region has no default VPC with default subnets"
