"""What a check refuses."""

from collections.abc import Callable
from typing import Any

import pytest

from multinode_control_plane.core.errors import Refused


def refusal(action: Callable[[Any], object], data: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        action(data)
    return refused.value
