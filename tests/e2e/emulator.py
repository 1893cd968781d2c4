"""The emulator of AWS, `ministack`: on the loopback interface, with all it keeps below one folder."""

import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.processes import Process

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-e2e" / "bin" / "python"
REGION = "eu-west-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Emulator:
    """Lambda functions are its child processes, ECS tasks are containers of the engine that DOCKER_HOST names."""

    def __init__(self, folder: Path, port: int, variables: Mapping[str, str]) -> None:
        """`variables`: for the emulator, and so for the Lambda functions, which inherit them."""
        assert PYTHON.exists(), f"{PYTHON} is missing: `make e2e` makes it"
        folder.mkdir()
        self.port = port
        environment = {
            **without_aws(os.environ),
            **CREDENTIALS,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            "LAMBDA_EXECUTOR": "local",
            "STATE_DIR": str(folder / "state"),
            "S3_DATA_DIR": str(folder / "s3"),
            "TMPDIR": str(folder),
            **variables,
        }
        self.process = Process(
            "ministack", [PYTHON, Path(__file__).with_name("ministack_main.py")], environment, folder
        )
        self.process.until(self._answers)

    def reset(self) -> None:
        """Empty the account."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/_ministack/reset", method="POST")
        with urllib.request.urlopen(request, timeout=300):
            pass

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_ministack/health", timeout=5):
                return True
        except OSError:
            return False


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the developer's own account."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_") or "CA_BUNDLE" in name}
