"""The provider of `sim/*`: simulated models answer on the real wire. Records made with them are marked as simulated."""

import asyncio
import json

import orjson

from synthbench.contracts.scaffolds import SIM_PREFIX
from synthbench.simulation.agent_formats import agent_format_of
from synthbench.simulation.attempt import SimulatedAttempt
from synthbench.simulation.policies import POLICIES
from synthbench.storage.artifacts import uri_of_digest
from synthbench.storage.errors import ArtifactNotFound
from synthbench.tasks import TaskError, TaskPackage, unpack
from synthbench.wire.completions import completion, turns_taken
from synthbench.wire.providers import ArtifactReader, ProviderConfig, ProviderRequest, ProviderResponse
from synthbench.wire.refusal import Refusal

_PACKAGES_KEPT = 64


class SimulatedProvider:
    """Answers with the turns of policies. All state is in the conversation, so any replica can answer any turn.

    Args:
        artifacts: holds the task packages, by their digest.
        latency_seconds: added to each answer.
    """

    name = "sim"
    wire = "openai"
    free = True

    @classmethod
    def make(cls, config: ProviderConfig) -> "SimulatedProvider":
        """Make the provider; its option `latency_ms` is added to each answer."""
        return cls(config.artifacts, float(config.options.get("latency_ms", 0.0)) / 1000)

    def __init__(self, artifacts: ArtifactReader, latency_seconds: float) -> None:
        self._artifacts = artifacts
        self._latency = latency_seconds
        self._packages: dict[str, TaskPackage] = {}

    async def send(self, request: ProviderRequest) -> ProviderResponse:
        """Answer as the policy does in this turn.

        The task's solution is only read for a key whose route names a simulated model.

        Raises:
            Refusal: 404, there is no such policy; 502, the task's package cannot be read.
        """
        conversation, claims, route = request.request, request.claims, request.model
        policy = POLICIES.get(route.removeprefix(SIM_PREFIX))
        if policy is None or not claims.route.startswith(SIM_PREFIX):
            raise Refusal(404, "model_not_found", f"there is no {route}; there are {', '.join(self.models())}")
        agent_format = agent_format_of(conversation)
        package = await self._package(claims.task_digest)
        attempt = SimulatedAttempt(package, claims.seed, agent_format.native_tools(conversation))
        turns = await asyncio.to_thread(policy, attempt)
        number = turns_taken(conversation)
        turn = agent_format.render(turns(number), conversation)
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
        return ProviderResponse(200, orjson.dumps(completion(route, conversation, turn.text, calls)))

    async def _package(self, digest: str) -> TaskPackage:
        if digest not in self._packages:
            try:
                archive = await self._artifacts.get(uri_of_digest(digest))
                package = await asyncio.to_thread(unpack, archive)
            except (ArtifactNotFound, TaskError) as error:
                raise Refusal(
                    502, "upstream_unreachable", f"the task of this attempt cannot be read: {error}"
                ) from error
            if len(self._packages) >= _PACKAGES_KEPT:
                self._packages.pop(next(iter(self._packages)))
            self._packages[digest] = package
        return self._packages[digest]

    def models(self) -> list[str]:
        """Return the names of all simulated models."""
        return [SIM_PREFIX + name for name in POLICIES]

    async def check(self) -> None:
        """Return: nothing outside this process is needed."""

    async def aclose(self) -> None:
        """Return: no connection is open."""
