"""`sim/*`: programmatic policies behind the real wire. What they make is flagged as simulated, everywhere."""

import asyncio
import json
from typing import Any

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.domain.conversation import completion, tools_offered, turns_taken
from synthbench.llm_gateway.domain.refusal import Refusal
from synthbench.llm_gateway.providers import ProviderAnswer
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.llm_gateway.sims import POLICIES, Player
from synthbench.storage.artifacts import ArtifactStore, uri_of_digest
from synthbench.storage.errors import ArtifactNotFound
from synthbench.tasks import TaskError, TaskPackage, unpack

_PREFIX = "sim/"
_KEPT = 64


class SimProvider:
    """Plays policies. All state is in the conversation, so any replica can answer any turn."""

    name = "sim"
    free = True

    @classmethod
    def make(cls, settings: GatewaySettings, store: ArtifactStore) -> "SimProvider":
        """Always there."""
        return cls(store, settings.sim_latency_ms)

    def __init__(self, store: ArtifactStore, latency_ms: float) -> None:
        self._store = store
        self._latency = latency_ms / 1000
        self._packages: dict[str, TaskPackage] = {}

    async def complete(self, request: dict[str, Any], claims: AttemptClaims) -> ProviderAnswer:
        """Answer as the policy does in this turn. The task's solution is only looked at for a key that names a sim."""
        route = str(request["model"])
        policy = POLICIES.get(route.removeprefix(_PREFIX))
        if policy is None or claims.route != route:
            raise Refusal(404, "model_not_found", f"there is no {route}; there are {', '.join(self.models())}")
        player = Player(await self._package(claims.task_digest), claims.seed, tools_offered(request))
        turns = await asyncio.to_thread(policy, player)
        number = turns_taken(request)
        turn = turns(number)
        if self._latency:
            await asyncio.sleep(self._latency)
        calls = [
            {
                "id": f"call_{number}_{index}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
            }
            for index, (name, arguments) in enumerate(turn.calls)
        ]
        return ProviderAnswer(json.dumps(completion(route, request, turn.text, calls)).encode(), route)

    async def _package(self, digest: str) -> TaskPackage:
        if digest not in self._packages:
            try:
                archive = await self._store.get(uri_of_digest(digest))
                package = await asyncio.to_thread(unpack, archive)
            except (ArtifactNotFound, TaskError) as error:
                raise Refusal(
                    502, "upstream_unreachable", f"the task of this attempt cannot be read: {error}"
                ) from error
            if len(self._packages) >= _KEPT:
                self._packages.pop(next(iter(self._packages)))
            self._packages[digest] = package
        return self._packages[digest]

    def models(self) -> list[str]:
        """All policies."""
        return [_PREFIX + name for name in POLICIES]

    async def aclose(self) -> None:
        """Nothing is open."""
