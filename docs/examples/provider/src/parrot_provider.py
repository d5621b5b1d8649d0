"""A provider without a server: its models repeat the last message, after a prefix that models.toml names."""

import json

from synthbench.wire.completions import completion, message_texts
from synthbench.wire.providers import ProviderConfig, ProviderRequest, ProviderResponse
from synthbench.wire.refusal import Refusal


class ParrotProvider:
    """Follows `synthbench.wire.providers.Provider`."""

    wire = "openai"
    free = True

    @classmethod
    def make(cls, config: ProviderConfig) -> "ParrotProvider":
        """Make the provider; its option `prefix` comes before each answer."""
        return cls(config.name, str(config.options.get("prefix", "")))

    def __init__(self, name: str, prefix: str) -> None:
        self.name = name
        self._prefix = prefix

    async def send(self, request: ProviderRequest) -> ProviderResponse:
        """Answer whole; the gateway makes a stream of it where one is wanted.

        Raises:
            Refusal: 404, there is no such model.
        """
        if request.model not in self.models():
            raise Refusal(404, "model_not_found", f"there is no {request.model}; there is {self.models()[0]}")
        text = self._prefix + message_texts(request.request)[-1]
        return ProviderResponse(200, json.dumps(completion(request.model, request.request, text, [])).encode())

    def models(self) -> list[str]:
        """Return the only model."""
        return ["grey"]

    async def check(self) -> None:
        """Return: nothing outside this process is needed."""

    async def aclose(self) -> None:
        """Return: no connection is open."""
