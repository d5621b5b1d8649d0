"""Every wire, by its name."""

from collections.abc import Mapping

from synthbench.wire.anthropic import AnthropicWire
from synthbench.wire.openai import OpenAIWire
from synthbench.wire.protocols import Wire

WIRES: Mapping[str, Wire] = {wire.name: wire for wire in (OpenAIWire(), AnthropicWire())}
