"""Between OpenAI's chat completions and Anthropic's messages: requests, answers and streams, both ways. Pure.

docs/gateway.md has the table, field by field; a golden test reads it. What cannot carry over is named, never lost in
silence: each function returns or collects the names.

Sources: OpenAI's API reference, "Create chat completion"; Anthropic's API reference, "Create a Message", "Streaming
Messages".
"""

from synthbench.wire.translate.answers import anthropic_answer, openai_answer
from synthbench.wire.translate.from_anthropic import openai_request
from synthbench.wire.translate.from_openai import anthropic_request
from synthbench.wire.translate.streams import AnthropicToOpenAI, OpenAIToAnthropic, UntranslatedStream

__all__ = [
    "AnthropicToOpenAI",
    "OpenAIToAnthropic",
    "UntranslatedStream",
    "anthropic_answer",
    "anthropic_request",
    "openai_answer",
    "openai_request",
]
