"""The store of answer numbers: an attempt's answers to the same request are counted, over all replicas."""

from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.storage.database import Database
from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.llm_gateway.recordings")


class AnswerNumberStore:
    """Numbers answers from 0 within an attempt. A number is taken before the call, and given back if it got no answer.

    Args:
        database: of schema `ledger`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, claims: AttemptClaims, request: str, *, again: bool) -> int:
        """Take the next number for a request.

        Args:
            claims: the attempt.
            request: digest of the request.
            again: the caller may have missed the answer to the same question: it gets the last number once more.
        """
        scope = _scope(claims, request)
        async with self._database.connection() as connection:
            if again:
                row = await (await connection.execute(SQL["last_number"], scope)).fetchone()
                if row is not None and row["number"] is not None:
                    return int(row["number"])
            while (row := await (await connection.execute(SQL["take_number"], scope)).fetchone()) is None:
                pass  # another call of the attempt took it at this moment
        return int(row["number"])

    async def give_back(self, claims: AttemptClaims, request: str, number: int) -> None:
        """Free a number whose call got no answer."""
        async with self._database.connection() as connection:
            await connection.execute(SQL["give_number_back"], {**_scope(claims, request), "number": number})

    async def forget(self, rollout_id: UUID, attempt: int) -> None:
        """Drop the numbers of an attempt that is over."""
        async with self._database.connection() as connection:
            await connection.execute(SQL["forget_numbers"], {"rollout_id": rollout_id, "attempt": attempt})


def _scope(claims: AttemptClaims, request: str) -> dict[str, object]:
    return {"rollout_id": claims.rollout_id, "attempt": claims.attempt, "request": request}
