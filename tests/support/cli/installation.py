"""Where an installation of ``main`` keeps what it keeps."""

import json
from pathlib import Path
from typing import Any

from tests.support.cli.account import ACCOUNT_ID, REGION, TestAccount

BUCKET = f"multinode-{ACCOUNT_ID}-{REGION}"
STATE = "main/terraform.tfstate"


def root(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "main.tf.json").read_text())
    return found


def buckets(account: TestAccount) -> list[str]:
    return [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]]
