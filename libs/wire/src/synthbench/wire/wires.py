"""Every wire format, by its name: the built-in ones, and those that other packages offer.

A package offers one by an entry point of the group `synthbench.wires` that names a class without arguments.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points

from synthbench.wire.anthropic import AnthropicWire
from synthbench.wire.openai import OpenAIWire
from synthbench.wire.protocols import WireFormat

GROUP = "synthbench.wires"


def _installed() -> list[WireFormat]:
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [entry.load()() for entry in entries]


WIRES: Mapping[str, WireFormat] = {wire.name: wire for wire in (OpenAIWire(), AnthropicWire(), *_installed())}
PATHS: Mapping[str, WireFormat] = {wire.path: wire for wire in WIRES.values()}
"""Wire formats by the path of their API."""
