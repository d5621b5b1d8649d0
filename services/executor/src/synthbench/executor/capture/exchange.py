"""A model call of an agent, and the step that follows from it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from synthbench.contracts.json_limits import TooMuchJson, check_json
from synthbench.contracts.loose import as_object
from synthbench.contracts.records import Timing, Usage
from synthbench.contracts.steps import ModelCall, Observation
from synthbench.executor.capture.streams import ANSWER_JSON
from synthbench.executor.recorder import AgentTurn
from synthbench.wire.agent_request import AgentRequest
from synthbench.wire.whole_answers import whole_answer

_CONTEXT = "context_length_exceeded"


@dataclass(frozen=True)
class ModelExchange:
    """A call that was answered, or refused, or whose answer broke off."""

    request: AgentRequest
    earlier: AgentRequest | None
    """The call before, if there was one."""
    started_at: datetime
    raw: bytes
    """The answer's body."""
    headers: Mapping[str, str]
    timing: Timing
    cost: tuple[int, bool]
    """Millionths of a US dollar, and whether that is known."""
    refused: bool = False
    """The gateway did not take the request: it is the agent's doing."""
    broken: bool = False
    """The answer is not whole."""
    readable: bool = True
    """The answer is small enough to be parsed; else no more is known of it than its text."""

    @property
    def overflow(self) -> str:
        """The gateway's message, where the conversation was too long for the model; else empty."""
        error = as_object(self._whole().get("error")) if self.refused else {}
        return str(error.get("message") or _CONTEXT) if error.get("code") == _CONTEXT else ""

    def turn(self, following: AgentRequest | None, own_seconds: float, cwd: str, native: str) -> AgentTurn:
        """Return the turn that the call and its observations make.

        Args:
            following: the next call, whose new messages say what came of this one; None at the end.
            own_seconds: of the agent's own between this answer and then.
            cwd: where it works.
            native: what the agent wrote down of it.
        """
        wire, answer = self.request.wire, {} if self.refused else self._whole()
        new = following.after(self.request) if following else None
        observations = [*self._problems(), *(wire.observed(new) if new else [])]
        micro, known = self.cost
        usage = wire.usage(answer) or Usage(calls=1)
        return AgentTurn(
            action=wire.action_of(answer),
            observations=observations,
            started_at=self.started_at,
            cwd=cwd,
            usage=usage.model_copy(update={"cost_microusd": micro, "cost_known": known and not self.broken}),
            timing=self.timing.model_copy(update={"tool_seconds": own_seconds}),
            model_call=self._call(str(answer.get("model") or "")),
            native=native,
            finish_reason=wire.finish_reason(answer),
        )

    def _whole(self) -> dict[str, Any]:
        if not self.readable:
            return {}
        if not self.request.stream:
            try:
                check_json(self.raw, ANSWER_JSON)
            except TooMuchJson:
                return {}
        return whole_answer(self.request.wire.name, self.raw, stream=self.request.stream)

    def _problems(self) -> list[Observation]:
        text = self.raw.decode("utf-8", errors="replace")
        if self.refused:
            return [Observation(content=text, total_bytes=len(self.raw), error="refused")]
        return [Observation(content="the answer broke off", error="broken_answer")] if self.broken else []

    def _call(self, model: str) -> ModelCall:
        before = self.earlier.messages if self.earlier else []
        messages = self.request.messages
        grown = messages[: len(before)] == before and (
            not self.earlier or self.earlier.wire.name == self.request.wire.name
        )
        base = self.request.base
        call_id = self.headers.get("x-synthbench-call-id")
        return ModelCall(
            call_id=UUID(call_id) if call_id else None,
            model=model,
            provider=self.headers.get("x-synthbench-provider", ""),
            base="" if self.earlier and self.earlier.base == base else base,
            messages=json.dumps(messages[len(before) :] if grown else messages, ensure_ascii=False),
            response=self.raw.decode("utf-8", errors="replace"),
            sampling=self.headers.get("x-synthbench-sampling", ""),
            whole=not grown,
        )
