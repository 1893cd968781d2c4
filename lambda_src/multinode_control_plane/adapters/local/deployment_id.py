"""The id of the deployment in a data directory: it stays with the folder, and no copy of the folder shares it."""

import logging
import secrets

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.private_files import JsonObject, read_json, write_json

logger = logging.getLogger(__name__)


def deployment_id(directory: DataDirectory) -> str:
    """Return the id of the deployment in this folder; a copy, even one restored from a backup, gets a new id.

    A folder is recognised by its device and inode number, which a copy cannot share with its original.
    """
    status = directory.root.stat()
    here: JsonObject = {"device": status.st_dev, "inode": status.st_ino}
    try:
        noted = read_json(directory.deployment)
    except (OSError, ValueError) as error:
        logger.error("%s cannot be read: %s", directory.deployment, error)  # noqa: TRY400 - the cause says it all
        noted = {}
    if noted is not None:
        known = noted.get("deployment_id")
        if isinstance(known, str) and {**here, "deployment_id": known} == noted:
            return known
        logger.warning(
            "%s is a copy of another data directory, or was moved here: functions that ran there count as lost here, "
            "and their processes are left alone",
            directory.root,
        )
    made = secrets.token_hex(8)
    write_json(directory.deployment, {**here, "deployment_id": made}, durable=True)
    return made
