"""Servers that speak text completions: they are asked as OpenAI-compatible ones are, on another path."""

from synthbench.llm_gateway.providers.http import HttpProvider


class TextCompletionsProvider(HttpProvider):
    """Follows `synthbench.wire.providers.Provider`."""

    wire = "completions"
    path = "/completions"
