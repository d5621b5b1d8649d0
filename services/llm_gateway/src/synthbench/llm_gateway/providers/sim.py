"""`sim/*`: programmatic policies behind the real wire. What they make is flagged as simulated, everywhere."""

import asyncio
import json

import orjson

from synthbench.llm_gateway.domain.conversation import completion, turns_taken
from synthbench.llm_gateway.providers import Incoming, Outgoing, ProviderConfig
from synthbench.llm_gateway.sims import POLICIES, Player
from synthbench.llm_gateway.sims.dialects import dialect_of
from synthbench.storage.artifacts import ArtifactStore, uri_of_digest
from synthbench.storage.errors import ArtifactNotFound
from synthbench.tasks import TaskError, TaskPackage, unpack
from synthbench.wire.refusal import Refusal

_PREFIX = "sim/"
_KEPT = 64


class SimProvider:
    """Plays policies. All state is in the conversation, so any replica can answer any turn."""

    name = "sim"
    wire = "openai"
    free = True

    @classmethod
    def make(cls, config: ProviderConfig) -> "SimProvider":
        """Always there."""
        return cls(config.store, config.settings.sim_latency_ms)

    def __init__(self, store: ArtifactStore, latency_ms: float) -> None:
        self._store = store
        self._latency = latency_ms / 1000
        self._packages: dict[str, TaskPackage] = {}

    async def send(self, outgoing: Outgoing) -> Incoming:
        """Answer as the policy does in this turn. The task's solution is only looked at for a key that names a sim."""
        request, claims, route = outgoing.request, outgoing.claims, outgoing.model
        policy = POLICIES.get(route.removeprefix(_PREFIX))
        if policy is None or not claims.route.startswith(_PREFIX):
            raise Refusal(404, "model_not_found", f"there is no {route}; there are {', '.join(self.models())}")
        dialect = dialect_of(request)
        player = Player(await self._package(claims.task_digest), claims.seed, dialect.tools(request))
        turns = await asyncio.to_thread(policy, player)
        number = turns_taken(request)
        turn = dialect.say(turns(number), request)
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
        return Incoming(200, orjson.dumps(completion(route, request, turn.text, calls)))

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

    async def check(self) -> None:
        """Always there."""

    async def aclose(self) -> None:
        """Nothing is open."""
