"""Money around one try of a model call: set aside before, counted after."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.events import LlmCalled


@dataclass(frozen=True)
class Reservation:
    """What was set aside for one try. Every try has its own, and ends in exactly one `settle` or `release`."""

    call_id: UUID
    claims: AttemptClaims
    microusd: int


class Ledger(Protocol):
    """Who may still spend, and what was spent."""

    async def admit(
        self, claims: AttemptClaims, call_id: UUID, estimate_microusd: int, *, last: bool = True
    ) -> Reservation:
        """Check that the attempt is the newest and open, and set aside what the try may cost at most.

        Args:
            claims: of the caller's key.
            call_id: of this try; its `LlmCalled` has the same.
            estimate_microusd: the most that the try may cost; 0 where it is free.
            last: no other model, which may be cheaper, comes after this one: a used-up budget is announced.

        Raises:
            Refusal: 403 `attempt_closed`; 402 `cost_limit` for the attempt's or the submission's cap, 402
                `budget_exhausted` for one that other attempts share.
        """
        ...

    async def settle(self, reservation: Reservation, called: LlmCalled) -> None:
        """Count what the try cost, whether it succeeded or not, and give the rest back.

        When it returns, the call is written down and will be announced, whatever dies next: it is safe to answer.
        """
        ...

    async def release(self, reservation: Reservation) -> None:
        """Give back what was set aside for a try that was never made."""
        ...
