"""Which texts can be names and ids; nothing else is ever looked up."""

import re

from multinode_protocol import limits


def is_project_name(text: str) -> bool:
    return len(text) <= limits.MAX_PROJECT_NAME_CHARS and re.fullmatch(limits.PROJECT_NAME_PATTERN, text) is not None


def is_version_id(text: str) -> bool:
    return re.fullmatch(r"ver-[0-9a-f]{32}", text) is not None


def is_invocation_id(text: str) -> bool:
    return re.fullmatch(r"inv-[0-9a-f]{32}", text) is not None


def is_execution_id(text: str) -> bool:
    return re.fullmatch(r"exe-[0-9a-f]{32}", text) is not None
