"""One question, one answer: the model writes a shell script, which is run, and the work is handed in."""

from datetime import UTC, datetime

from synthbench.contracts.steps import Action, Observation
from synthbench.executor.domain.endings import GaveUp, Submitted
from synthbench.executor.recorder import AgentTurn
from synthbench.executor.scaffold import Briefing, World

RULES = "Answer with one shell script that does the whole task, and nothing else."


class OneShotScaffold:
    """Follows `synthbench.executor.scaffold.Scaffold`."""

    version = "one-shot-1"
    resumable = False

    def briefing(self, world: World) -> Briefing:  # noqa: ARG002 - as in the protocol
        """What the record says that the model is told."""
        return Briefing(system_prompt=RULES, prompt_version="one-shot/1")

    async def run(self, world: World) -> None:
        """Ask, run, record, hand in."""
        world.clock.check()
        started = datetime.now(UTC)
        messages = [{"role": "system", "content": RULES}, {"role": "user", "content": world.package.instruction}]
        answer = await world.model.ask(messages, [], timeout=world.clock.remaining)
        script = str(answer.message.get("content") or "")
        if not script.strip():
            raise GaveUp("the model wrote no script")
        result = await world.sandbox.run(["sh", "-c", script], timeout=world.clock.remaining)
        output = result.stdout_text + result.stderr_text
        seen = Observation(content=output, total_bytes=len(output.encode()), exit_code=result.exit_code)
        timing = answer.timing.model_copy(update={"tool_seconds": result.seconds})
        await world.recorder.record(
            AgentTurn(
                Action(message=script), [seen], started, usage=answer.usage, timing=timing, model_call=answer.call
            )
        )
        raise Submitted("the script was run")
