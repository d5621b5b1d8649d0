"""Every wire, by its name."""

from collections.abc import Mapping

from synthbench.wire.anthropic import AnthropicWire
from synthbench.wire.openai import OpenAIWire
from synthbench.wire.protocols import WireFormat

WIRES: Mapping[str, WireFormat] = {wire.name: wire for wire in (OpenAIWire(), AnthropicWire())}
