"""Scaffolds that ask no model: they play a task's own files along the normal road, to check task and verifier."""

import json
import shlex

from synthbench.executor.domain.endings import PermanentFailure, Submitted
from synthbench.executor.harbor import bring
from synthbench.executor.scaffold import Briefing, World
from synthbench.executor.scaffolds.native.agent import play
from synthbench.executor.scaffolds.native.arguments import as_json, schemas
from synthbench.executor.scaffolds.native.tools import Toolbox
from synthbench.tasks import Changes
from synthbench.tasks.cheats import BY_ID, CHEATS


class _Played:
    """The base of these scaffolds: the native tools, and a submit at the end."""

    version = "played-1"
    resumable = False

    def briefing(self, world: World) -> Briefing:  # noqa: ARG002 - as in the protocol
        """Nobody is told anything; the tools are the native ones."""
        return Briefing(tools=as_json(schemas()))

    async def run(self, world: World) -> None:
        """Play, then submit."""
        settings = world.settings
        installs = world.package.profile == "harbor"  # and may take all the time that there is
        timeout = world.clock.remaining if installs else settings.tool_timeout_seconds
        tools = Toolbox(world.sandbox, world.clock, timeout=timeout, shown_bytes=settings.shown_bytes)
        await self.play(world, tools)
        await play(world, tools, "submit", "{}")
        raise Submitted

    async def play(self, world: World, tools: Toolbox) -> None:
        """Play the steps of the scaffold; none by default."""


class NopScaffold(_Played):
    """Does nothing, and submits the untouched workspace."""


class OracleScaffold(_Played):
    """Plays the solution."""

    async def play(self, world: World, tools: Toolbox) -> None:
        """Write the solution's files, or run its script."""
        changes = world.package.solution_changes()
        if changes:
            await _apply(world, tools, changes)
        elif world.package.profile == "harbor" and world.package.solve_script():
            await bring(world.sandbox, world.package.foreign_archive("solution"))
            env = {"DEBIAN_FRONTEND": "noninteractive", **world.package.manifest.solution.env}
            words = ["env", *(f"{name}={value}" for name, value in env.items()), "/solution/solve.sh"]
            await play(world, tools, "bash", json.dumps({"command": shlex.join(words)}))
        elif script := world.package.solve_script():
            await play(world, tools, "bash", json.dumps({"command": script}))
        else:
            raise PermanentFailure(f"task {world.package.id} has no solution to play", "submission")


class WrongScaffold(_Played):
    """Plays one of the wrong solutions: argument `solution`, the first by default."""

    async def play(self, world: World, tools: Toolbox) -> None:
        """Write its files."""
        known = world.package.wrong_solutions()
        name = world.rollout.scaffold_args.get("solution") or next(iter(known), "")
        if name not in known:
            raise PermanentFailure(
                f"task {world.package.id} has no wrong solution {name!r}; it has {', '.join(known)}", "submission"
            )
        await _apply(world, tools, known[name])


class CheatScaffold(_Played):
    """Tries to earn the reward without doing the task: argument `cheat`, all of them by default."""

    async def play(self, world: World, tools: Toolbox) -> None:
        """Run the tricks, one step each."""
        name = world.rollout.scaffold_args.get("cheat")
        if name and name not in BY_ID:
            raise PermanentFailure(f"there is no cheat {name!r}; there are {', '.join(BY_ID)}", "submission")
        for cheat in [BY_ID[name]] if name else CHEATS:
            await play(world, tools, "bash", json.dumps({"command": cheat.command(), "timeout": 10}), cheat.title)


async def _apply(world: World, tools: Toolbox, changes: Changes) -> None:
    for path, data in sorted(changes.items()):
        if data is None:
            await play(world, tools, "bash", json.dumps({"command": f"rm -r {shlex.quote(path)}"}))
        else:
            content = data.decode("utf-8")
            await play(world, tools, "write_file", json.dumps({"path": path, "content": content}))
