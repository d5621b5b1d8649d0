"""Room for the next turn: long old answers are elided, and where that is not enough, old turns are condensed."""

from datetime import UTC, datetime

from synthbench.contracts.scaffold_args import NativeOptions
from synthbench.executor.domain.endings import ContextFull
from synthbench.executor.recorder import AgentTurn
from synthbench.executor.scaffold import World
from synthbench.executor.scaffolds.native.briefing import condensing_prompt, task_prompt
from synthbench.executor.scaffolds.native.conversation import NativeConversation
from synthbench.wire.turns import read_action


class Condenser:
    """Keeps a conversation within its window; between two turns it condenses once at most."""

    def __init__(self, world: World, args: NativeOptions, talk: NativeConversation) -> None:
        self._world = world
        self._args = args
        self._talk = talk
        self._done = False
        self._refused: ContextFull | None = None

    def answered(self) -> None:
        """Note that the model took the conversation."""
        self._done, self._refused = False, None

    def refused(self, error: ContextFull) -> None:
        """The model cannot take the conversation, whatever we thought.

        Raises:
            ContextFull: it cannot be made shorter, or was already.
        """
        if self._done or not self._talk.window.old(self._talk.messages):
            raise error
        self._refused = error

    async def make_room(self, cwd: str) -> None:
        """Before each turn; records a step where it condenses.

        Raises:
            Ending: a limit was reached, or the model cannot even take the old turns.
        """
        talk, window = self._talk, self._talk.window
        if self._refused is None:
            if not window.over(talk.messages):
                return
            elided = window.elided(talk.messages)
            if window.roomy(elided):
                talk.messages = elided
                return
        if not self._done and window.old(talk.messages):
            talk.condense(await self._summary(cwd))
        self._done = True

    async def _summary(self, cwd: str) -> str:
        world, window = self._world, self._talk.window
        world.clock.check()
        old = window.transcript(window.old(window.elided(self._talk.messages)))
        messages = [
            {"role": "system", "content": condensing_prompt(world, self._args)},
            {"role": "user", "content": f"# The task\n\n{task_prompt(world, self._args)}\n\n# What was done\n\n{old}"},
        ]
        started = datetime.now(UTC)
        answer = await world.model.ask(messages, [], timeout=world.clock.remaining)
        action = read_action(answer.message).model_copy(update={"tool_calls": []})
        turn = AgentTurn(action, (), started, cwd, answer.usage, answer.timing, answer.call, kind="condensation")
        await world.recorder.record(turn)
        return action.message
