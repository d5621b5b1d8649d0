"""What providers want back with a tool call, for as long as its rollout may go on, over all replicas."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

import orjson

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.adapters.sql import SQL
from synthbench.storage.database import Database
from synthbench.wire.provider_metadata import ProviderMetadata
from synthbench.wire.sse import dumped

_ATTEMPTS_MOST = 5_000
"""Attempts whose calls are remembered here; of others the record is asked."""


@dataclass
class _AttemptCalls:
    """What this replica knows of one attempt without asking the record."""

    nothing: set[str] = field(default_factory=set[str])
    """Calls with which nothing has to be given back."""
    answers: Counter[str] = field(default_factory=Counter[str])
    """How many answers a request has had, by its digest."""


class ProviderMetadataStore:
    """Keeps them by rollout and call: a resumed attempt meets the calls of the one before.

    Args:
        database: of schema `ledger`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: OrderedDict[tuple[UUID, int], _AttemptCalls] = OrderedDict()

    async def of_calls(
        self, claims: AttemptClaims, model: str, calls: Iterable[str]
    ) -> tuple[Mapping[str, ProviderMetadata], Mapping[str, ProviderMetadata]]:
        """Return what is to be given back with some calls: what this model said, and what other models said."""
        asked = {_key(call): call for call in set(calls) - self._of(claims).nothing}
        if not asked:
            return {}, {}
        values = {"rollout_id": claims.rollout_id, "calls": list(asked)}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["returned_of_calls"], values)).fetchall()
        found = {asked[bytes(row["call"])]: (row["model"], bytes(row["fields"])) for row in rows}
        self._of(claims).nothing.update(call for call in asked.values() if call not in found)
        own: dict[str, ProviderMetadata] = {}
        others: dict[str, ProviderMetadata] = {}
        for call, (said_by, fields) in found.items():
            (own if said_by == model else others)[call] = ProviderMetadata.from_dict(orjson.loads(fields))
        return own, others

    async def keep(self, claims: AttemptClaims, model: str, answered: Mapping[str, ProviderMetadata]) -> None:
        """Keep what a model said beside its calls; the calls without anything are remembered as such."""
        kept = {call: dumped(returned.to_dict()) for call, returned in answered.items() if returned}
        self._of(claims).nothing.update(call for call in answered if call not in kept)
        if not kept:
            return
        values = {
            "rollout_id": claims.rollout_id,
            "model": model,
            "calls": [_key(call) for call in kept],
            "fields": list(kept.values()),
        }
        async with self._database.connection() as connection:
            await connection.execute(SQL["keep_returned"], values)

    def answers(self, claims: AttemptClaims, request: str) -> int:
        """Count an answer to a request; return how many there were before it."""
        counted = self._of(claims).answers
        counted[request] += 1
        return counted[request] - 1

    async def forget_old(self) -> None:
        """Drop what no attempt can ask for any more: the longest one takes 24 hours, and its resumes a few days."""
        async with self._database.connection() as connection:
            await connection.execute(SQL["forget_returned"])

    def _of(self, claims: AttemptClaims) -> _AttemptCalls:
        key = (claims.rollout_id, claims.attempt)
        found = self._remembered.setdefault(key, _AttemptCalls())
        self._remembered.move_to_end(key)
        if len(self._remembered) > _ATTEMPTS_MOST:
            self._remembered.popitem(last=False)
        return found


def _key(call: str) -> bytes:
    return sha256(call.encode("utf-8", errors="surrogatepass")).digest()
