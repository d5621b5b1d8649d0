"""Admits calls in the order in which they came, and leases money for those that wait.

All calls of this replica that wait are looked at together: one transaction leases for them what the record has free,
then they are admitted from the oldest to the newest. What a call before them gives back is shared out at once, without
waiting for the record.
"""

import asyncio
from collections.abc import Mapping

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.budgets.domain.accounts import Account
from synthbench.llm_gateway.budgets.domain.refusals import tied_up, used_up
from synthbench.llm_gateway.budgets.domain.slices import AccountBalance
from synthbench.llm_gateway.budgets.domain.waiting import WaitingCall, WaitingLine
from synthbench.llm_gateway.budgets.leases import BudgetLeases
from synthbench.llm_gateway.budgets.replica import Incarnation, Replica
from synthbench.wire.refusal import Refusal

_PATIENCE_SECONDS = 1.0
"""How long a call waits after the record first had nothing free for it."""
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25
"""Seconds between two questions to the record, while it has nothing free for anybody who waits."""

Admission = tuple[Incarnation, tuple[str, ...]]
"""Who set the money aside, and on which accounts."""


class LeaseBroker:
    """First come, first served, for the money of every account.

    Args:
        replica: whose slices calls are paid from.
        leases: how more is leased.
    """

    def __init__(self, replica: Replica, leases: BudgetLeases) -> None:
        self._replica = replica
        self._leases = leases
        self._line = WaitingLine()
        self._admissions: dict[WaitingCall, asyncio.Future[Admission]] = {}
        self._arrived = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._sharing = False

    async def reserve(
        self, claims: AttemptClaims, accounts: tuple[Account, ...], need: int, *, last: bool
    ) -> Admission:
        """Set money aside on every capped account at once, behind all calls that came before.

        Raises:
            Refusal: 402, an account can never pay for the call any more; 429, what it has left is set aside for others
                for longer than the call waits.
        """
        incarnation = self._replica.current
        scopes = incarnation.budgets.reserve(accounts, need, self._line.owed)
        if scopes is not None:
            return incarnation, scopes
        call = WaitingCall(claims, accounts, need, last)
        admission = asyncio.get_running_loop().create_future()
        self._line.join(call)
        self._admissions[call] = admission
        self._arrived.set()
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        try:
            return await admission
        except asyncio.CancelledError:
            self._forget(call, admission)
            raise

    def _forget(self, call: WaitingCall, admission: asyncio.Future[Admission]) -> None:
        """Undo a call whose caller went away, perhaps after it was admitted and before it knew."""
        if call in self._line:
            self._leave(call)
        elif not admission.cancelled() and admission.exception() is None:
            incarnation, scopes = admission.result()
            incarnation.budgets.settle(scopes, call.need, 0)
        self.money_came_back()

    def money_came_back(self) -> None:
        """Share out the money of a call that ended, once for all that end at the same time."""
        if self._line and not self._sharing:
            self._sharing = True
            asyncio.get_running_loop().call_soon(self._share_out)

    def _share_out(self) -> None:
        self._sharing = False
        self._admit_in_order()

    def _admit_in_order(self) -> None:
        incarnation = self._replica.current
        for call, lacks in self._line.in_order(incarnation.budgets):
            if self._admissions[call].cancelled():  # its caller is gone, and has not run since
                self._leave(call)
            elif not lacks:
                scopes = incarnation.budgets.reserve(call.accounts, call.need)
                assert scopes is not None
                self._leave(call).set_result((incarnation, scopes))

    def _leave(self, call: WaitingCall) -> asyncio.Future[Admission]:
        """Take a call out of the line; return what its caller waits for."""
        self._line.leave(call)
        return self._admissions.pop(call)

    async def _serve(self) -> None:
        pause = _FIRST_PAUSE
        while self._line:
            asking = list(self._line)
            self._arrived.clear()
            try:
                blocked = await self._serve_once()
            except Exception as error:  # noqa: BLE001 - whoever waited for this answer gets it
                self._fail(asking, error)
                continue
            if not blocked:
                pause = _FIRST_PAUSE
                continue
            try:
                async with asyncio.timeout(pause):
                    await self._arrived.wait()
            except TimeoutError:
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _serve_once(self) -> bool:
        """Lease, admit and refuse; return whether there is nothing free for any call that is left."""
        standings: Mapping[str, AccountBalance] = {}
        if requests := self._line.lease_requests(self._replica.current.budgets):
            standings = await self._leases.grant(requests)
        self._admit_in_order()
        blocked, unblocked = self._judge(standings)
        if blocked:
            await self._leases.recall(sorted(blocked))
        return bool(blocked) and not unblocked

    def _judge(self, standings: Mapping[str, AccountBalance]) -> tuple[set[str], bool]:
        """Refuse the calls that cannot be paid for, and those that waited long enough for what is not free.

        Returns:
            The accounts that have nothing free for a call that waits; whether another call can go on asking.
        """
        now = asyncio.get_running_loop().time()
        blocked: set[str] = set()
        unblocked = False
        for call, lacks in self._line.in_order(self._replica.current.budgets):
            known = {
                scope: standing
                for scope in lacks
                if (standing := standings.get(scope)) is not None and standing.cap is not None
            }
            if over := [scope for scope, standing in known.items() if standing.used_up(call.need)]:
                self._refuse(call, used_up(over[0], known[over[0]], call.need))
                continue
            taken = [scope for scope, standing in known.items() if standing.free < lacks[scope]]
            if not taken:
                unblocked = True
                continue
            if call.blocked_since is None:
                call.blocked_since = now
            if now - call.blocked_since > _PATIENCE_SECONDS:
                self._refuse(call, tied_up(taken[0], known[taken[0]], call.need))
            else:
                blocked.update(taken)
        return blocked, unblocked

    def _refuse(self, call: WaitingCall, refusal: Refusal) -> None:
        self._leave(call).set_exception(refusal)

    def _fail(self, asking: list[WaitingCall], error: Exception) -> None:
        for call in asking:
            if call in self._line and not (admission := self._leave(call)).cancelled():
                admission.set_exception(error)
