"""An attempt that was cut off goes on in a fresh sandbox, as if nothing had happened."""

import json
import tempfile
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import structlog

from synthbench.contracts.events import AttemptStarted
from synthbench.contracts.journal import journal_key
from synthbench.contracts.records import ForkPoint, Outcome
from synthbench.contracts.rpc import ClaimReply
from synthbench.contracts.trajectory import AttemptContext, Trajectory
from synthbench.executor.domain.endings import InfraFailure, LimitReached, Submitted
from synthbench.executor.scaffold import World, offered_scaffolds
from synthbench.executor.scaffolds.native import NativeScaffold
from synthbench.executor.scaffolds.played import OracleScaffold
from synthbench.executor.workspace.preparing import PreparedWorkspace, prepare_workspace
from synthbench.sandbox.engines import choose_engine
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec
from synthbench.storage.artifacts import FilesStore

if TYPE_CHECKING:
    from .conftest import MakeWorld, Script

from .conftest import calls, steps_of

ANSWERS = [
    calls(("bash", {"command": "mkdir -p d/e; printf '\\0\\377' > d/blob; ln -s blob d/link; cd d; chmod 755 blob"})),
    calls(("bash", {"command": "pwd; rm link; echo one > ../kept.txt"}), content="Going on."),
    calls(("bash", {"command": "ls"})),
    calls(("edit_file", {"path": "kept.txt", "old_text": "one", "new_text": "two"})),
    calls(("submit", {"summary": "done"})),
]
TREE = "find . -mindepth 1 -printf '%P %y %m %l\\n' | sort; cat kept.txt; md5sum d/blob"


@pytest.fixture
async def engine() -> AsyncGenerator[SandboxEngine]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        made = (await choose_engine(None, root=Path(folder, "boxes"))).engine
        yield made
        await made.aclose()


@pytest.fixture
async def begin(
    engine: SandboxEngine, artifacts: FilesStore, make_world: "MakeWorld"
) -> AsyncGenerator[Callable[..., Any]]:
    opened: list[Sandbox] = []

    async def begun(
        rollout_id: UUID,
        attempt: int,
        *,
        fork: ForkPoint | None = None,
        given_back: tuple[int, ...] = (),
        **limits: Any,
    ) -> World:
        template = make_world(rollout_id=rollout_id)
        rollout = template.rollout.model_copy(update={"forked_from": fork})
        grant = ClaimReply(status="granted", attempt=attempt, rollout=rollout, given_back=list(given_back))
        spec = SandboxSpec(owner=f"{rollout_id}.{attempt}")
        prepared: PreparedWorkspace = await prepare_workspace(
            engine, spec, artifacts, grant, NativeScaffold(), template.package
        )
        opened.append(prepared.sandbox)
        context = AttemptContext(scaffold_version=NativeScaffold.version)
        started = AttemptStarted(
            submission_id=rollout.submission_id, rollout_id=rollout_id, attempt=attempt, rollout=rollout,
            context=context, started_at=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        await artifacts.put_named(journal_key(started), started.to_json())
        return make_world(prepared=prepared, attempt=attempt, rollout_id=rollout_id, **limits)

    yield begun
    for sandbox in opened:
        await sandbox.close()


async def play(world: World) -> None:
    for step in world.start.steps:
        await world.recorder.take_over(step)
    await NativeScaffold().run(world)


async def cut_off(begin, script: "Script", answers: list[Any], rollout_id: UUID, attempt: int = 1) -> World:
    world = await begin(rollout_id, attempt)
    script.answers = [*answers, ConnectionResetError("killed")]
    with pytest.raises((InfraFailure, ConnectionResetError)):
        await play(world)
    return world


async def tree(world: World) -> str:
    result = await world.sandbox.run(["bash", "-c", TREE], timeout=10)
    return result.stdout_text


@pytest.mark.parametrize("done", [1, 2, 3, 4])
async def test_cut_off_after_each_step(begin, script: "Script", done: int):
    rollout_id = uuid4()
    first = await cut_off(begin, script, ANSWERS[:done], rollout_id)
    before = await tree(first)
    second = await begin(rollout_id, 2)
    assert (second.start.attempt, second.start.resumed_from) == (1, done - 1)
    assert await tree(second) == before
    script.answers, script.asked = list(ANSWERS[done:]), []
    with pytest.raises(Submitted, match="done"):
        await play(second)
    mine, theirs = steps_of(second), steps_of(first)
    assert len(mine) == len(ANSWERS)
    for copy, original in zip(mine, theirs, strict=False):
        assert copy.copied_from is not None
        assert (copy.copied_from.rollout_id, copy.copied_from.attempt) == (rollout_id, 1)
        assert copy.model_copy(update={"copied_from": None}).sealed() == original
    assert all(step.copied_from is None for step in mine[done:])
    assert all(step.sealed() == step for step in mine)
    # The model was asked for the rest alone, with all that was said before, word for word, and the note.
    assert len(script.asked) == len(ANSWERS) - done
    assert script.asked[0]["messages"][-1]["content"].startswith("The sandbox was made anew.")
    sent = [message for step in mine if step.model_call for message in json.loads(step.model_call.messages)]
    assert sent == script.asked[-1]["messages"]
    # What was paid before is not paid again, but counts against the limits.
    assert second.clock.usage.calls == len(ANSWERS) - done
    assert second.clock.carried_usage.calls == done
    assert second.clock.steps == len(ANSWERS)


async def test_the_shell_goes_on_in_its_folder(begin, script: "Script"):
    rollout_id = uuid4()
    await cut_off(begin, script, ANSWERS[:1], rollout_id)
    second = await begin(rollout_id, 2)
    script.answers = [calls(("bash", {"command": "pwd"})), ANSWERS[-1]]
    with pytest.raises(Submitted):
        await play(second)
    assert steps_of(second)[1].observations[0].content.startswith(f"{second.sandbox.workdir}/d\n")


async def test_an_attempt_that_was_cut_off_after_its_last_step_only_ends(begin, script: "Script"):
    rollout_id = uuid4()
    first = await begin(rollout_id, 1)
    script.answers = list(ANSWERS)
    with pytest.raises(Submitted):
        await play(first)
    second = await begin(rollout_id, 2)
    script.asked = []
    with pytest.raises(Submitted, match="done"):
        await play(second)
    assert script.asked == []
    assert await tree(second) == await tree(first)


async def test_three_attempts_in_a_row_and_limits_over_all_of_them(begin, script: "Script"):
    rollout_id = uuid4()
    await cut_off(begin, script, ANSWERS[:1], rollout_id, 1)
    await cut_off(begin, script, ANSWERS[1:3], rollout_id, 2)
    third = await begin(rollout_id, 3, max_steps=4)
    assert (third.start.attempt, third.start.resumed_from) == (2, 2)
    script.answers = list(ANSWERS[3:])
    with pytest.raises(LimitReached) as ended:
        await play(third)
    assert ended.value.outcome is Outcome.STEP_LIMIT
    origins = [step.copied_from and step.copied_from.attempt for step in steps_of(third)]
    assert origins == [1, 2, 2, None]


async def test_two_failures_before_the_same_step_start_over(begin, script: "Script"):
    rollout_id = uuid4()
    await cut_off(begin, script, ANSWERS[:2], rollout_id, 1)
    await cut_off(begin, script, [], rollout_id, 2)
    assert (await begin(rollout_id, 3)).start.steps == ()
    assert len((await begin(rollout_id, 4, given_back=(2,))).start.steps) == 2


async def test_a_shell_that_stays_and_edits_go_on_after_a_cut(begin, script: "Script"):
    rollout_id, args = uuid4(), {"shell": "persistent"}
    first = await begin(rollout_id, 1, args=args)
    script.answers = [
        calls(("bash", {"command": "X=5; mkdir d; cd d; echo one > a.txt"})),
        calls(("edit_file", {"path": "d/a.txt", "old_text": "one", "new_text": "two"})),
        ConnectionResetError("killed"),
    ]
    with pytest.raises((InfraFailure, ConnectionResetError)):
        await play(first)
    second = await begin(rollout_id, 2, args=args)
    script.answers = [
        calls(("bash", {"command": "echo .$X; pwd; touch b.txt"})),
        calls(("undo_edit", {"path": "d/a.txt"})),
        calls(("submit", {})),
    ]
    with pytest.raises(Submitted):
        await play(second)
    assert "The shell is a new one" in script.asked[-3]["messages"][-1]["content"]
    shell, undone = (step.observations[0] for step in steps_of(second)[2:4])
    assert shell.content.startswith(f".\n{second.sandbox.workdir}/d\n")
    assert undone.error is None
    assert await second.sandbox.read("d/a.txt") == b"one\n"


async def test_a_lost_checkpoint_shortens_what_is_resumed(begin, script: "Script", artifacts: FilesStore):
    rollout_id = uuid4()
    first = await cut_off(begin, script, ANSWERS[:4], rollout_id)
    gone = steps_of(first)[1].state.checkpoint
    assert gone is not None
    await artifacts.delete(gone.uri)
    assert len((await begin(rollout_id, 2)).start.steps) == 1


async def test_a_checkpoint_that_may_not_enter_starts_over(begin, script: "Script", artifacts: FilesStore):
    rollout_id = uuid4()
    first = await cut_off(begin, script, ANSWERS[:1], rollout_id)
    kept = steps_of(first)[0].state.checkpoint
    assert kept is not None
    artifacts.local_path(kept.uri).write_bytes(b"not what its digest says")
    second = await begin(rollout_id, 2)
    assert second.start.steps == ()
    assert "blob" not in await tree(second)


def stored(first: World, **changes: Any) -> Trajectory:
    return Trajectory(
        trajectory_id=uuid4(), rollout=first.rollout, attempt=1, steps=steps_of(first), outcome=Outcome.UNSOLVED,
        context=AttemptContext(scaffold_version=NativeScaffold.version),
    ).model_copy(update=changes)  # fmt: skip


async def test_a_fork_keeps_the_first_steps_and_goes_its_own_way(begin, script: "Script", artifacts: FilesStore):
    first = await cut_off(begin, script, ANSWERS[:4], uuid4())
    parent = stored(first)
    reference = await artifacts.put(parent.to_json())
    fork = ForkPoint(trajectory_id=parent.trajectory_id, artifact=reference.digest, step=1)
    rollout_id = uuid4()
    world = await begin(rollout_id, 1, fork=fork)
    assert (world.start.attempt, world.start.resumed_from, world.start.note) == (None, 1, "")
    script.answers = [calls(("bash", {"command": "rm ../kept.txt"})), ConnectionResetError("killed")]
    script.asked = []
    with pytest.raises((InfraFailure, ConnectionResetError)):
        await play(world)
    kept, fresh = steps_of(world)[:2], steps_of(world)[2:]
    assert [s.action for s in kept] == [s.action for s in parent.steps[:2]]
    assert {s.copied_from.rollout_id for s in kept if s.copied_from} == {parent.rollout.rollout_id}
    assert [change.path for change in fresh[0].state.changed] == ["kept.txt"]
    # The conversation is the one that the parent had after the same step: a pair that differs from there on only.
    parents = [m for s in parent.steps[:3] if s.model_call for m in json.loads(s.model_call.messages)]
    assert script.asked[0]["messages"] == parents
    # Its second attempt resumes its own step; started over, it begins at the fork again.
    again = await begin(rollout_id, 2, fork=fork)
    assert (again.start.attempt, len(again.start.steps)) == (1, 3)
    await cut_off_at_once(again, script)
    over = await begin(rollout_id, 3, fork=fork)
    assert (over.start.attempt, len(over.start.steps)) == (None, 2)


async def cut_off_at_once(world: World, script: "Script") -> None:
    script.answers = [ConnectionResetError("killed")]
    with pytest.raises((InfraFailure, ConnectionResetError)):
        await play(world)


async def test_what_cannot_be_forked_says_why(begin, script: "Script", artifacts: FilesStore):
    first = await cut_off(begin, script, ANSWERS[:2], uuid4())
    parent = stored(first)
    other_task = parent.rollout.task.model_copy(update={"digest": "sha256:" + "1" * 64})
    same = {"trajectory_id": parent.trajectory_id}
    cases = {
        "it has 2 steps": (parent, {"step": 7}),
        "the artifact holds trajectory": (parent, {"trajectory_id": uuid4()}),
        "another version of the task": (
            parent.model_copy(update={"rollout": parent.rollout.model_copy(update={"task": other_task})}), {},
        ),
        "was made by native-0": (stored(first, context=AttemptContext(scaffold_version="native-0"), **same), {}),
        "cannot be read": (parent, {"artifact": "sha256:" + "9" * 64}),
    }  # fmt: skip
    for said, (trajectory, wrong) in cases.items():
        reference = await artifacts.put(trajectory.to_json())
        fork = ForkPoint(trajectory_id=parent.trajectory_id, artifact=reference.digest, step=0)
        with pytest.raises(InfraFailure, match=said):
            await begin(uuid4(), 1, fork=fork.model_copy(update=wrong))
    reference = await artifacts.put(parent.to_json())
    fork = ForkPoint(trajectory_id=parent.trajectory_id, artifact=reference.digest, step=1)
    kept = parent.steps[1].state.checkpoint
    assert kept is not None
    await artifacts.delete(kept.uri)
    with pytest.raises(InfraFailure, match="lost the checkpoints"):
        await begin(uuid4(), 1, fork=fork)


def test_the_executor_announces_which_scaffolds_can_resume():
    offers = {offer.name: offer.resumable for offer in offered_scaffolds(structlog.stdlib.get_logger())}
    assert {"native": NativeScaffold.resumable, "oracle": OracleScaffold.resumable} == {
        name: offers[name] for name in ("native", "oracle")
    }
    assert {name for name, resumable in offers.items() if resumable} == {"native"}
