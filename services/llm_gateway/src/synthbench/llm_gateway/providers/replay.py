"""Answers from a stored trajectory: `replay/<name>` gives, turn by turn, what `<name>.json` holds.

Every other `replay/<model>` answers from the recordings of that model's calls (`recording.py`).
"""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.contracts.steps import Step
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.errors import ArtifactCorrupt
from synthbench.storage.trajectories import decode
from synthbench.wire.completions import completion, turns_taken
from synthbench.wire.providers import ProviderConfig, ProviderRequest, ProviderResponse
from synthbench.wire.refusal import Refusal

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class ReplayProvider:
    """Plays the answers of a trajectory back."""

    name = "replay"
    wire = "openai"
    free = True

    @classmethod
    def make(cls, config: ProviderConfig) -> "ReplayProvider":
        """Make the provider; its option `folder` holds the trajectories, and without it there is none."""
        folder = str(config.options.get("folder") or "")
        return cls(Path(folder) if folder else None)

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def holds(self, route: str) -> bool:
        """Whether there is a trajectory of this name."""
        return self._path(route.removeprefix(REPLAY_PREFIX)) is not None

    def _path(self, name: str) -> Path | None:
        path = self._folder / f"{name}.json" if self._folder and _NAME.match(name) else None
        return path if path is not None and path.is_file() else None

    async def send(self, provider_request: ProviderRequest) -> ProviderResponse:
        """Answer turn k with the k-th answer of the trajectory."""
        request, route = provider_request.request, provider_request.model
        trajectory = await asyncio.to_thread(self._load, route.removeprefix(REPLAY_PREFIX))
        steps = [step for step in trajectory.steps if step.kind == "turn"]
        turn = turns_taken(request)
        if turn >= len(steps):
            raise Refusal(404, "replay_over", f"{route} has {len(steps)} turns, and turn {turn + 1} was asked for")
        return ProviderResponse(200, _recorded(steps[turn], route, request))

    def _load(self, name: str) -> Trajectory:
        path = self._path(name)
        if path is None:
            raise Refusal(404, "model_not_found", f"there is no trajectory {name!r}; set SYNTHBENCH_REPLAY_FOLDER")
        try:
            return decode(path.read_bytes())
        except ArtifactCorrupt as error:
            raise Refusal(502, "upstream_garbage", f"{path} is no trajectory") from error

    def models(self) -> list[str]:
        """Return the names of all trajectories."""
        return sorted(REPLAY_PREFIX + path.stem for path in self._folder.glob("*.json")) if self._folder else []

    async def check(self) -> None:
        """Return: nothing outside this process is needed."""

    async def aclose(self) -> None:
        """Return: no connection is open."""


def _recorded(step: Step, route: str, request: Mapping[str, Any]) -> bytes:
    if step.model_call and step.model_call.response:
        return step.model_call.response.encode()
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in step.action.tool_calls
    ]
    return json.dumps(completion(route, request, step.action.message, calls)).encode()
