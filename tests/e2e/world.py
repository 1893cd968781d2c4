"""One world for all end-to-end tests: engine, registry, emulator, installation, relay, and a user's terminal."""

import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.e2e.base_image import base_image, trusted_certificates
from tests.e2e.emulator import CREDENTIALS, Emulator, without_aws
from tests.e2e.engine import Engine
from tests.e2e.faults import Launches
from tests.e2e.front import Front
from tests.e2e.installation import DEPLOYMENT, Installation
from tests.e2e.leftovers import census, traces
from tests.e2e.processes import free_port
from tests.e2e.registry import EcrImages, Registry
from tests.e2e.relay import Relay
from tests.support.switchboard import Switchboard
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
MULTINODE = Path(sys.executable).with_name("multinode")
FINAL = {"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"}
Invocation = dict[str, Any]


@dataclass
class World:
    folder: Path
    engine: Engine
    registry: Registry
    emulator: Emulator
    board: Switchboard
    front: Front
    launches: Launches
    installation: Installation
    base_image: str
    environment: Mapping[str, str]
    """Of the user's terminal."""
    census_before: Mapping[str, list[str]]
    """What the account held before the installation."""
    relay: Relay = field(init=False)

    # --- AWS ---

    def client(self, service: str) -> Any:
        """Return a client with the rights of whoever owns the account."""
        return client(self.front.url, service)

    def census(self) -> dict[str, list[str]]:
        """Return the names of all that the account holds, by kind."""
        return census(self.client)

    @cached_property
    def deployment(self) -> dict[str, Any]:
        """Where everything of the deployment is: the parameter by which the CLI finds it."""
        parameter = self.client("ssm").get_parameter(Name=self.installation.output("deployment_parameter"))
        where: dict[str, Any] = json.loads(parameter["Parameter"]["Value"])
        return where

    @property
    def repository(self) -> str:
        """The image repository, as Docker names it."""
        url: str = self.deployment["repository_url"]
        return url

    def tag(self, project_name: str) -> str:
        """Return the one tag of a project's images."""
        (tag,) = [tag for tag in self.registry.tags("multinode-e2e") if tag.startswith(f"{project_name}.")]
        return tag

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        """Within, one sweep follows the other, a few seconds after it, instead of one a minute."""
        lambdas, done = self.client("lambda"), threading.Event()

        def sweep() -> None:
            while not done.wait(3):
                with suppress(lambdas.exceptions.TooManyRequestsException):  # the schedule's own sweep is at it
                    lambdas.invoke(FunctionName=f"multinode-{DEPLOYMENT}-sweep")

        thread = threading.Thread(target=sweep, name="sweeping", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def handled_events(self) -> int:
        """Return how many calls with a task event have ended: each leaves the emulator's own line in the log."""
        pages = self.client("logs").get_paginator("filter_log_events")
        group = f"/aws/lambda/multinode-{DEPLOYMENT}-task-events"
        events = [event for page in pages.paginate(logGroupName=group) for event in page["events"]]
        return sum(event["message"].startswith("REPORT ") for event in events)

    def letters(self, queue_name: str) -> list[str]:
        """Return the bodies of what a queue holds, up to ten; they stay in it, visible to the next."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue_name)["QueueUrl"]
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [message["Body"] for message in answer.get("Messages", [])]

    def tasks(self, execution_id: str) -> list[str]:
        """Return the ARNs of all tasks that were ever started for an execution."""
        list_tasks = partial(self.client("ecs").list_tasks, cluster=self.deployment["cluster"], startedBy=execution_id)
        return [arn for status in ("RUNNING", "STOPPED") for arn in list_tasks(desiredStatus=status)["taskArns"]]

    def traces(self, project_name: str) -> dict[str, list[str]]:
        """Return what there is of a project, by kind."""
        return traces(self.client, self.engine, self.registry, self.deployment, project_name)

    # --- containers ---

    def containers(self, execution: Mapping[str, Any]) -> list[str]:
        """Return the ids of an execution's containers that run."""
        return self.engine.containers("com.amazonaws.ecs.task-arn", execution["worker"]["identifier"])

    def kill_container(self, invocation_id: str) -> None:
        """Kill the container of an invocation's latest attempt, as a host that is lost would."""
        (container,) = self.containers(self.execution(invocation_id))
        self.engine.run("kill", "--signal", "KILL", container)

    def execution(self, invocation_id: str) -> dict[str, Any]:
        """Return an invocation's latest attempt once its container is known, which may already run before that."""

        def found() -> dict[str, Any] | None:
            latest: dict[str, Any] = self.get(invocation_id)["executions"][-1]
            return latest if latest["worker"] else None

        return until(found, f"the container of {invocation_id}") or {}

    # --- a user ---

    def multinode(self, *arguments: str | Path) -> str:
        """Return what ``multinode arguments`` wrote to stdout; it must succeed."""
        return self._run(MULTINODE, *arguments)

    def python(self, program: str) -> str:
        """Return what a program of the user's printed; it must succeed."""
        return self._run(sys.executable, "-c", program)

    def _run(self, *command: str | Path) -> str:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def following(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Return ``multinode arguments`` while it runs, its output to be read."""
        return subprocess.Popen(
            [MULTINODE, *map(str, arguments)],
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self.multinode(*arguments, "--json"))

    def deploy(self, folder: Path, project_name: str) -> dict[str, Any]:
        """Deploy; afterwards the engine has no copy of the image but what it pulls from the registry."""
        options = ("--project-name", project_name, "--base-image", self.base_image)
        version: dict[str, Any] = self.json("deploy", folder, *options)
        tagged = self.engine.run("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        self.engine.run("rmi", *[name for name in tagged if name.startswith(f"{self.repository}:{project_name}.")])
        return version

    def start(self, project_name: str, function_name: str, **arguments: object) -> str:
        """Return the invocation's id."""
        invocation = self.json("invoke", project_name, function_name, "--args", json.dumps(arguments))
        return str(invocation["invocation_id"])

    def get(self, invocation_id: str) -> Invocation:
        found: Invocation = self.json("get", invocation_id)
        return found

    def ended(self, invocation_id: str) -> Invocation:
        """Return the invocation once it has a final status and no container of it is left."""

        def found() -> Invocation | None:
            invocation = self.get(invocation_id)
            return invocation if invocation["status"] in FINAL and invocation["terminated"] else None

        return self._until(found, invocation_id, "to end")

    def _until(self, found: Any, invocation_id: str, what: str) -> Invocation:
        try:
            invocation: Invocation = until(found, what, every_s=0.5)
        except AssertionError as error:
            raise AssertionError(f"{invocation_id} did not come {what}: {self.get(invocation_id)}") from error
        return invocation

    def diagnosis(self) -> str:
        """Return what helps to see why a test failed."""
        containers = self.engine.run("ps", "--all", "--last", "8", "--filter", "label=com.amazonaws.ecs.task-arn")
        parts = (
            "--- no answer",
            *self.front.lost,
            "--- emulator",
            self.emulator.process.last_lines(),
            "--- containers",
            containers,
        )
        return "\n".join([*parts, "--- Lambda functions", self._lambda_errors()])

    def _lambda_errors(self) -> str:
        logs = self.client("logs")
        lines = []
        for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]:
            for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]:
                if event["message"].startswith(("Traceback", "botocore", "multinode")) or "ERROR" in event["message"]:
                    lines.append(f"{group['logGroupName']}: {event['message'].strip()[:1000]}")
        return "\n".join(lines[-40:])


def client(url: str, service: str) -> Any:
    """Return a client of the AWS service at `url`."""
    keys = CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    make: Any = boto3.session.Session(*keys, region_name=CREDENTIALS["AWS_REGION"]).client
    return make(service, endpoint_url=url, config=Config(connect_timeout=60, read_timeout=300))


@contextmanager
def built(folder: Path) -> Iterator[World]:
    """Yield the world, installed; nobody has logged in to it. End all of it afterwards."""
    with ExitStack() as stack:
        engine = Engine()
        host = engine.bridge_address()
        certificate = _certificate(folder, host)
        registry = Registry(folder / "registry")
        stack.callback(registry.process.stop)
        board = Switchboard(host)
        stack.callback(board.stop)
        emulator_port = free_port()
        front = Front(emulator_port, api_host=host, certificate=certificate, registry_host=registry.host)
        stack.callback(front.stop)
        launches = _intercept(front, registry)
        variables = {
            "AWS_ENDPOINT_URL_ECS": front.url,
            "AUTH": "true",
            "DOCKER_CONFIG": str(registry.engine_configuration(folder / "docker")),
        }
        emulator = Emulator(folder / "emulator", emulator_port, variables)
        stack.callback(emulator.process.stop)
        account = {**CREDENTIALS, "AWS_ENDPOINT_URL": front.url}
        before = census(partial(client, front.url))
        with ThreadPoolExecutor() as pool:
            image = pool.submit(base_image, engine, certificate)
            installation = Installation(folder / "terraform", account)
            _install(installation, emulator, front)
        world = World(
            folder=folder,
            engine=engine,
            registry=registry,
            emulator=emulator,
            board=board,
            front=front,
            launches=launches,
            installation=installation,
            base_image=image.result(),
            environment=_terminal(folder, account, certificate),
            census_before=before,
        )
        stack.callback(_remove_images, engine, world)
        world.relay = Relay(world.client, world.deployment["cluster"])
        stack.callback(world.relay.stop)
        yield world


def _install(installation: Installation, emulator: Emulator, front: Front) -> None:
    """Apply; once more from the beginning if an answer was lost on this machine, so that the provider asked twice."""
    try:
        installation.apply()
    except AssertionError as error:
        if "already exists" not in str(error):
            raise
        last_line = str(error).strip().splitlines()[-1]
        warnings.warn(
            f"an answer was lost, {front.lost or 'not at the front'}: starting over: {last_line}", stacklevel=1
        )
        emulator.reset()
        installation.forget()
        installation.apply()


def _certificate(folder: Path, host: str) -> Path:
    """Return a certificate for the address `host`; its key lies beside it."""
    certificate = folder / "api.crt"
    files = ("-out", certificate, "-keyout", certificate.with_suffix(".key"))
    subject = ("-subj", "/CN=multinode-e2e", "-addext", f"subjectAltName=IP:{host}")
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files)
    subprocess.run(command, capture_output=True, check=True)
    return certificate


def _remove_images(engine: Engine, world: World) -> None:
    """Remove this run's images; the Debian below them stays for the next run."""
    pulled = engine.run("images", "--quiet", "--filter", f"reference={world.registry.host}/*").split()
    engine.run("rmi", "--force", world.base_image, *dict.fromkeys(pulled))


def _intercept(front: Front, registry: Registry) -> Launches:
    launches, images = Launches(), EcrImages(registry)
    front.interceptors.update(
        {
            "ecs:RunTask": launches.run_task,
            "ecr:DescribeImages": images.describe,
            "ecr:ListImages": images.list,
            "ecr:BatchDeleteImage": images.delete,
        }
    )
    return launches


def _terminal(folder: Path, account: Mapping[str, str], certificate: Path) -> dict[str, str]:
    """Return the environment of a user who has AWS credentials, and trusts the API's certificate."""
    bundle = folder / "trusted.pem"
    bundle.write_text(trusted_certificates(certificate))
    return {
        **without_aws(os.environ),
        **account,
        "MULTINODE_CONFIG_DIR": str(folder / "config"),
        "SSL_CERT_FILE": str(bundle),
    }
