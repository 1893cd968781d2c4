"""The task sizes that Fargate offers. The deploy command and the launch share them, so they agree.

Source: the Fargate section of the ECS developer guide, "Task CPU and memory"; 32 vCPU have three sizes of memory only.
"""

import math
from dataclasses import dataclass

__all__ = ["SIZES", "NoTaskSize", "TaskSize", "covering"]

UNITS_PER_CPU = 1024
MIB_PER_GIB = 1024


@dataclass(frozen=True, slots=True)
class TaskSize:
    """What `RunTask` and a task definition take: CPU units (1024 are one virtual CPU) and MiB."""

    cpu_units: int
    memory_mib: int

    def __str__(self) -> str:
        return f"{self.cpu_units / UNITS_PER_CPU:g} vCPU with {self.memory_mib / MIB_PER_GIB:g} GiB"


class NoTaskSize(ValueError):
    """No Fargate size covers what was asked for. `nearest` is the largest one that comes close."""

    def __init__(self, virtual_cpus: float, memory_gbs: float, nearest: TaskSize) -> None:
        super().__init__(
            f"no Fargate size has {virtual_cpus:g} vCPU with {memory_gbs:g} GiB; the nearest is {nearest}: "
            f"ask for at most cpu={nearest.cpu_units / UNITS_PER_CPU:g}, "
            f'memory="{nearest.memory_mib / MIB_PER_GIB:g} GiB"'
        )
        self.nearest = nearest


def _gib(first: int, last: int, step: int = 1) -> tuple[int, ...]:
    return tuple(gib * MIB_PER_GIB for gib in range(first, last + 1, step))


SIZES: dict[int, tuple[int, ...]] = {
    256: (512, *_gib(1, 2)),
    512: _gib(1, 4),
    1024: _gib(2, 8),
    2048: _gib(4, 16),
    4096: _gib(8, 30),
    8192: _gib(16, 60, 4),
    16384: _gib(32, 120, 8),
    32768: (60 * MIB_PER_GIB, 120 * MIB_PER_GIB, 244 * MIB_PER_GIB),
}
"""CPU units -> MiB of memory, both ascending."""

LARGEST_MEMORY_MIB = max(memory for choices in SIZES.values() for memory in choices)


def covering(virtual_cpus: float, memory_gbs: float) -> TaskSize:
    """Return the smallest size with at least `virtual_cpus` and `memory_gbs` (in GiB).

    The fewest CPUs decide, then the least memory: of all sizes that cover, that is the cheapest too, since memory's
    steps only grow with the CPUs. Raises NoTaskSize.
    """
    cpu_units = math.ceil(virtual_cpus * UNITS_PER_CPU)
    memory_mib = math.ceil(memory_gbs * MIB_PER_GIB)
    size = _smallest(cpu_units, memory_mib)
    if size is not None:
        return size
    nearest = _smallest(min(cpu_units, max(SIZES)), min(memory_mib, LARGEST_MEMORY_MIB))
    if nearest is None:
        raise AssertionError("the largest size covers everything that is not larger than it")
    raise NoTaskSize(virtual_cpus, memory_gbs, nearest)


def _smallest(cpu_units: int, memory_mib: int) -> TaskSize | None:
    for cpu, choices in SIZES.items():
        memory = next((choice for choice in choices if choice >= memory_mib), None)
        if cpu >= cpu_units and memory is not None:
            return TaskSize(cpu, memory)
    return None
