"""Where `multinode install` stores Terraform's state and the settings: a bucket in the account.

One bucket per account and region, ``multinode-<account>-<region>``: private, versioned, encrypted. In it, per
deployment, ``<name>/terraform.tfstate`` and ``<name>/settings.json``. So any machine with the credentials can continue.
"""

import json
from typing import Any

from multinode_cli.backends.aws.account import Account, aws_errors
from multinode_cli.errors import ControlPlaneFailure

STATE_FILE = "terraform.tfstate"
SETTINGS_FILE = "settings.json"
FIRST_REGION = "us-east-1"
"""The one region that `CreateBucket` may not name."""


class StateBucket:
    """Every request names the bucket's owner: nobody else's bucket of this name is ever used."""

    def __init__(self, account: Account, account_id: str) -> None:
        self.name = f"multinode-{account_id}-{account.region}"
        self._region = account.region
        self._s3 = account.client("s3")
        self._owner = {"ExpectedBucketOwner": account_id}

    def exists(self) -> bool:
        """Raises ControlPlaneFailure when the bucket belongs to another account."""
        from botocore.exceptions import ClientError

        with aws_errors(f"looking for the bucket {self.name}"):
            try:
                self._s3.head_bucket(Bucket=self.name, **self._owner)
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status == 404:
                    return False
                if status == 403:
                    raise ControlPlaneFailure(
                        f"the bucket {self.name}, which stores the state of deployments, cannot be read: it "
                        "belongs to another account, or s3:ListBucket is not granted"
                    ) from error
                raise
        return True

    def ensure(self) -> bool:
        """Make the bucket if it does not exist, and set it up; return whether it was made."""
        made = not self.exists()
        with aws_errors(f"making the bucket {self.name}"):
            if made:
                place: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
                self._s3.create_bucket(Bucket=self.name, **({} if self._region == FIRST_REGION else place))
            self._s3.put_public_access_block(
                Bucket=self.name,
                PublicAccessBlockConfiguration=dict.fromkeys(
                    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
                ),
                **self._owner,
            )
            self._s3.put_bucket_versioning(
                Bucket=self.name, VersioningConfiguration={"Status": "Enabled"}, **self._owner
            )
        return made

    def key(self, deployment_name: str) -> str:
        """Return where in the bucket the state of a deployment is."""
        return f"{deployment_name}/{STATE_FILE}"

    def has_state(self, deployment_name: str) -> bool:
        return self.exists() and self._read(self.key(deployment_name)) is not None

    def settings(self, deployment_name: str) -> dict[str, Any]:
        """Return the inputs with which the deployment was installed; none for a new one."""
        text = self._read(f"{deployment_name}/{SETTINGS_FILE}") if self.exists() else None
        found: dict[str, Any] = json.loads(text) if text is not None else {}
        return found

    def save_settings(self, deployment_name: str, settings: dict[str, Any]) -> None:
        with aws_errors("storing the settings"):
            self._s3.put_object(
                Bucket=self.name,
                Key=f"{deployment_name}/{SETTINGS_FILE}",
                Body=json.dumps(settings, indent=2, sort_keys=True).encode(),
                ContentType="application/json",
                **self._owner,
            )

    def forget(self, deployment_name: str) -> None:
        """Remove everything stored for a deployment, with all older versions, and the bucket if it is then empty."""
        with aws_errors(f"removing the state from the bucket {self.name}"):
            for page in self._s3.get_paginator("list_object_versions").paginate(
                Bucket=self.name, Prefix=f"{deployment_name}/", **self._owner
            ):
                found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
                if objects:
                    self._s3.delete_objects(Bucket=self.name, Delete={"Objects": objects}, **self._owner)
        self.remove_if_empty()

    def remove_if_empty(self) -> None:
        with aws_errors(f"removing the bucket {self.name}"):
            answer = self._s3.list_object_versions(Bucket=self.name, MaxKeys=1, **self._owner)
            if not answer.get("Versions") and not answer.get("DeleteMarkers"):
                self._s3.delete_bucket(Bucket=self.name, **self._owner)

    def _read(self, key: str) -> str | None:
        with aws_errors(f"reading {key} in the bucket {self.name}"):
            try:
                answer = self._s3.get_object(Bucket=self.name, Key=key, **self._owner)
            except self._s3.exceptions.NoSuchKey:
                return None
            return str(answer["Body"].read().decode())
