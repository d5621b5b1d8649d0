"""The streams' retention and limits. The topology step of the chassis makes them so."""

from dataclasses import dataclass
from typing import Literal

from synthbench.contracts.registry import EVENTS, Stream

_MIB = 1024 * 1024


@dataclass(frozen=True)
class StreamSpec:
    """One stream. All discard *new* and know no age: a full one stalls its publishers, it never drops."""

    name: Stream
    subjects: tuple[str, ...]
    retention: Literal["workqueue", "interest", "limits"]
    max_bytes: int
    """Default size limit; deployments set their own."""


def _subjects(stream: Stream) -> tuple[str, ...]:
    return tuple(f"{spec.name}.>" if spec.suffixes else spec.name for spec in EVENTS if spec.stream is stream)


STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec(Stream.TASKS, _subjects(Stream.TASKS), "workqueue", 256 * _MIB),
    StreamSpec(Stream.STEPS, _subjects(Stream.STEPS), "interest", 1024 * _MIB),
    StreamSpec(Stream.EVENTS, _subjects(Stream.EVENTS), "interest", 1024 * _MIB),
    StreamSpec(Stream.DEAD, ("dead.>",), "limits", 256 * _MIB),
)
