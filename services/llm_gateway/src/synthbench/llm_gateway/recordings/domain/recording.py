"""Recordings, and the requests that they answer. Pure.

A recording answers one request of one model, for one sample. Two requests are the same when they mean the same to the
provider: how the answer travels (stream or whole), who asks, and what the environment's clock said in a tool's result
make no difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from synthbench.contracts.ids import canonical_json, sha256_digest
from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef, Digest
from synthbench.contracts.steady import steady

SCHEMA = "synthbench.recording.v1"
FOLDER = "recordings"
_NOT_ASKED = {
    "model", "stream", "stream_options", "user", "metadata", "safety_identifier", "prompt_cache_key", "cache_control",
}  # fmt: skip
"""Fields of a request that do not change what is asked."""


@dataclass(frozen=True)
class RecordingKey:
    """The key by which a recording is found."""

    model: str
    """As the catalogue calls it."""
    request: str
    """Digest of the canonical request."""
    sample: int
    """The rollout's seed: samples of one prompt have different ones."""
    number: int = 0
    """Number of the answer to this request within the attempt, from 0."""

    @property
    def path(self) -> str:
        """Path of the recording in the store, where it is written once."""
        return f"{self.folder}s{self.sample}.{self.number}.json"

    @property
    def folder(self) -> str:
        """Folder of all samples of the request, with a slash at the end."""
        digest = self.request.removeprefix("sha256:")
        return f"{FOLDER}/{digest[:2]}/{digest}/"

    def __str__(self) -> str:
        return f"model {self.model}, request {self.request}, sample {self.sample}, answer {self.number}"


class Recording(Record):
    """One recorded answer."""

    schema_version: Literal["synthbench.recording.v1"] = SCHEMA
    model: str
    provider: str
    wire: str
    """Name of the provider's wire format."""
    request: Digest
    sample: int
    number: int
    stream: bool
    """The answer is the events of a stream."""
    asked: ArtifactRef
    """The request as the provider got it; one that means the same may look different."""
    answer: ArtifactRef
    """The raw body of the response."""

    def answers(self, key: RecordingKey) -> bool:
        """Return whether it answers the request that its path says."""
        return (self.model, self.request, self.sample, self.number) == (
            key.model, key.request, key.sample, key.number,
        )  # fmt: skip


def request_digest(wire: str, model: str, request: Mapping[str, Any]) -> str:
    """Return the digest of a request, the same for requests that mean the same.

    Args:
        wire: the provider's.
        model: as the catalogue calls it.
        request: as the provider gets it, parsed.
    """
    meaning = {
        name: _canonical(value) for name, value in request.items() if name not in _NOT_ASKED and value is not None
    }
    meaning["messages"] = _messages(as_list(request.get("messages")))
    return sha256_digest(canonical_json([SCHEMA, wire, model, meaning]))


def _messages(messages: list[Any]) -> list[Any]:
    """Keep the prompt and the model's own words as they are; results of tools are made steady first."""
    canonical: list[Any] = []
    answered = False
    for message in map(as_object, messages):
        own = message.get("role") == "assistant"
        answered = answered or own
        canonical.append(_canonical(message, environment=answered and not own))
    return canonical


def _canonical(value: Any, *, environment: bool = False) -> Any:
    if isinstance(value, str):
        return steady(value) if environment else value
    if isinstance(value, list):
        return [_canonical(item, environment=environment) for item in as_list(value)]  # pyright: ignore[reportUnknownArgumentType] - any JSON
    if isinstance(value, dict):
        whole = as_object(value)  # pyright: ignore[reportUnknownArgumentType] - any JSON
        return {
            name: _field(name, item, environment=environment)
            for name, item in whole.items()
            if item is not None and name != "cache_control"
        }
    return value


def _field(name: str, value: Any, *, environment: bool) -> Any:
    """Write a text that is a list of one part as the text, and arguments that are JSON as text as the JSON."""
    parts = [as_object(part) for part in as_list(value)] if name == "content" else []
    if len(parts) == 1 and parts[0].get("type") == "text":
        return _canonical(str(parts[0].get("text", "")), environment=environment)
    if name == "arguments" and isinstance(value, str):
        return _arguments(value)
    return _canonical(value, environment=environment)


def _arguments(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
