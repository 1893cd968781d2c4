"""Ids that clients make."""

import re

from multinode_protocol.ids import new_invocation_id


def test_ids_are_version_7_and_sort_by_time() -> None:
    ids = [new_invocation_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"inv-[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", each) for each in ids)
    assert [each[:16] for each in ids] == sorted(each[:16] for each in ids)
