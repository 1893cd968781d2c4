"""The Fargate size of a function: the smallest one that covers what was asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_protocol.fargate_sizes import SIZES, NoTaskSize, TaskSize, covering


@pytest.mark.parametrize(
    ("virtual_cpus", "memory_gbs", "cpu_units", "memory_mib"),
    [
        (0.1, 0.25, 256, 512),
        (0.25, 0.5, 256, 512),
        (0.25, 0.51, 256, 1024),
        (0.25, 2, 256, 2048),
        # 3 GiB need half a CPU: a quarter has at most 2.
        (0.25, 3, 512, 3072),
        (0.26, 0.5, 512, 1024),
        (1, 1, 1024, 2048),
        (1, 8, 1024, 8192),
        (1, 8.001, 2048, 9216),
        (2, 16, 2048, 16384),
        (4, 30, 4096, 30720),
        # From 8 CPUs on memory comes in steps of 4, from 16 on of 8 GiB.
        (4, 31, 8192, 32768),
        (8, 17, 8192, 20480),
        (16, 33, 16384, 40960),
        (16, 120, 16384, 122880),
        (0.25, 121, 32768, 249856),
        (17, 1, 32768, 61440),
        (32, 61, 32768, 122880),
        (32, 244, 32768, 249856),
    ],
)
def test_the_smallest_size_that_covers_is_taken(
    virtual_cpus: float, memory_gbs: float, cpu_units: int, memory_mib: int
) -> None:
    assert covering(virtual_cpus, memory_gbs) == TaskSize(cpu_units, memory_mib)


@pytest.mark.parametrize(
    ("virtual_cpus", "memory_gbs", "nearest"),
    [
        (33, 1, TaskSize(32768, 61440)),
        (1, 245, TaskSize(32768, 249856)),
        (64, 500, TaskSize(32768, 249856)),
    ],
)
def test_what_no_size_covers_is_refused_and_the_nearest_is_named(
    virtual_cpus: float, memory_gbs: float, nearest: TaskSize
) -> None:
    with pytest.raises(NoTaskSize) as refused:
        covering(virtual_cpus, memory_gbs)
    assert refused.value.nearest == nearest
    assert f"{virtual_cpus:g} vCPU with {memory_gbs:g} GiB" in str(refused.value)
    assert str(nearest) in str(refused.value)


def test_the_message_says_what_to_ask_for() -> None:
    with pytest.raises(NoTaskSize) as refused:
        covering(40, 100)
    assert str(refused.value) == (
        "no Fargate size has 40 vCPU with 100 GiB; the nearest is 32 vCPU with 120 GiB: "
        'ask for at most cpu=32, memory="120 GiB"'
    )


def test_the_sizes_of_each_cpu_ascend() -> None:
    assert list(SIZES) == sorted(SIZES)
    assert all(list(choices) == sorted(set(choices)) for choices in SIZES.values())


@given(st.floats(min_value=0.001, max_value=32), st.floats(min_value=0.001, max_value=244))
def test_what_is_taken_is_sold_covers_and_is_the_cheapest(virtual_cpus: float, memory_gbs: float) -> None:
    size = covering(virtual_cpus, memory_gbs)
    assert size.memory_mib in SIZES[size.cpu_units]
    assert size.cpu_units >= virtual_cpus * 1024
    assert size.memory_mib >= memory_gbs * 1024

    def price(cpu_units: int, memory_mib: int) -> float:
        # us-east-1, per hour: $0.04048 a vCPU, $0.004445 a GiB.
        return cpu_units / 1024 * 0.04048 + memory_mib / 1024 * 0.004445

    cheapest = min(
        price(cpu, memory)
        for cpu, choices in SIZES.items()
        for memory in choices
        if cpu >= virtual_cpus * 1024 and memory >= memory_gbs * 1024
    )
    assert price(size.cpu_units, size.memory_mib) == pytest.approx(cheapest)
