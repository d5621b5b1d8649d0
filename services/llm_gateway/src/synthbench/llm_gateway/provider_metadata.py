"""The store of provider metadata: fields that a provider wants back with a tool call, for as long as its rollout may go
on, over all replicas. See `synthbench.wire.provider_metadata`."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

import orjson

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.storage.database import Database
from synthbench.storage.queries import Queries
from synthbench.wire.provider_metadata import ProviderMetadata
from synthbench.wire.sse import dumped

SQL = Queries.load("synthbench.llm_gateway")
_ATTEMPTS_MOST = 5_000
"""Attempts whose calls are remembered here; of others the record is asked."""


@dataclass
class _AttemptCalls:
    """The calls of one attempt, as far as this replica need not ask the record about them."""

    without: set[str] = field(default_factory=set[str])
    """Calls that have no metadata."""
    answers: Counter[str] = field(default_factory=Counter[str])
    """Number of answers that a request has had, by its digest."""


class ProviderMetadataStore:
    """Keeps metadata by rollout and call: a resumed attempt meets the calls of the one before.

    Args:
        database: of schema `ledger`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: OrderedDict[tuple[UUID, int], _AttemptCalls] = OrderedDict()

    async def of_calls(
        self, claims: AttemptClaims, model: str, calls: Iterable[str]
    ) -> tuple[Mapping[str, ProviderMetadata], Mapping[str, ProviderMetadata]]:
        """Return the metadata of some calls: that of this model, and that of other models, by call id."""
        unknown = {_key(call): call for call in set(calls) - self._of(claims).without}
        if not unknown:
            return {}, {}
        values = {"rollout_id": claims.rollout_id, "calls": list(unknown)}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["returned_of_calls"], values)).fetchall()
        found = {unknown[bytes(row["call"])]: (row["model"], bytes(row["fields"])) for row in rows}
        self._of(claims).without.update(call for call in unknown.values() if call not in found)
        own: dict[str, ProviderMetadata] = {}
        others: dict[str, ProviderMetadata] = {}
        for call, (author, fields) in found.items():
            (own if author == model else others)[call] = ProviderMetadata.from_dict(orjson.loads(fields))
        return own, others

    async def keep(self, claims: AttemptClaims, model: str, metadata: Mapping[str, ProviderMetadata]) -> None:
        """Keep the metadata of a model's calls; calls without any are remembered as such."""
        kept = {call: dumped(fields.to_dict()) for call, fields in metadata.items() if fields}
        self._of(claims).without.update(call for call in metadata if call not in kept)
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
        """Delete metadata that no attempt can need any more: the longest takes 24 hours, and its resumes a few days."""
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
