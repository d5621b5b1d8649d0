"""Answers from a recorded trajectory: `replay/<name>` gives, turn by turn, what `<name>.json` recorded."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.steps import Step
from synthbench.contracts.trajectory import Trajectory
from synthbench.llm_gateway.domain.conversation import completion, turns_taken
from synthbench.llm_gateway.domain.refusal import Refusal
from synthbench.llm_gateway.providers import ProviderAnswer
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.storage.artifacts import ArtifactStore

_PREFIX = "replay/"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class ReplayProvider:
    """Plays recorded answers back."""

    name = "replay"
    free = True

    @classmethod
    def make(cls, settings: GatewaySettings, store: ArtifactStore) -> "ReplayProvider":  # noqa: ARG003 - as in `load_providers`
        """Always there; without a folder it knows no recording."""
        return cls(settings.replay_folder)

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def complete(self, request: dict[str, Any], claims: AttemptClaims) -> ProviderAnswer:  # noqa: ARG002 - as in the protocol
        """Answer turn k with the k-th recorded answer."""
        route = str(request["model"])
        steps = (await asyncio.to_thread(self._load, route.removeprefix(_PREFIX))).steps
        turn = turns_taken(request)
        if turn >= len(steps):
            raise Refusal(404, "replay_over", f"{route} has {len(steps)} turns, and turn {turn + 1} was asked for")
        return ProviderAnswer(_recorded(steps[turn], route, request), route)

    def _load(self, name: str) -> Trajectory:
        path = self._folder / f"{name}.json" if self._folder and _NAME.match(name) else None
        if path is None or not path.is_file():
            raise Refusal(404, "model_not_found", f"there is no recording {name!r}; set SYNTHBENCH_REPLAY_FOLDER")
        try:
            return Trajectory.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise Refusal(502, "upstream_garbage", f"the recording {name!r} is no trajectory") from error

    def models(self) -> list[str]:
        """Every recording."""
        return sorted(_PREFIX + path.stem for path in self._folder.glob("*.json")) if self._folder else []

    async def aclose(self) -> None:
        """Nothing is open."""


def _recorded(step: Step, route: str, request: dict[str, Any]) -> bytes:
    if step.model_call and step.model_call.response:
        return step.model_call.response.encode()
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in step.action.tool_calls
    ]
    return json.dumps(completion(route, request, step.action.message, calls)).encode()
