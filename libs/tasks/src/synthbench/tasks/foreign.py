"""Refuses what Harbor's format allows and we do not run: each field by its name, with the reason."""

from collections.abc import Iterator, Mapping

from synthbench.contracts.records import FieldError
from synthbench.tasks.archive import Files
from synthbench.tasks.errors import problem
from synthbench.tasks.manifest import TaskManifest

DOCKERFILE = "environment/Dockerfile"
_COMPOSE = tuple(f"environment/docker-compose.{ending}" for ending in ("yaml", "yml"))


def environment_problems(manifest: TaskManifest, files: Files) -> Iterator[FieldError]:
    """Yield what no engine of ours offers of what the environment asks for, and files that it lacks."""
    wanted = manifest.environment
    yield from (
        problem(name, "several containers are not run; one Dockerfile is") for name in _COMPOSE if name in files
    )
    if not wanted.docker_image and DOCKERFILE not in files:
        yield problem(DOCKERFILE, "is missing, and [environment] docker_image is not given")
    if wanted.os != "linux":
        yield problem("task.toml: environment.os", f"{wanted.os!r} is not run here; only linux is")
    if wanted.gpus:
        yield problem("task.toml: environment.gpus", "sandboxes have no GPU")
    if wanted.mcp_servers:
        yield problem("task.toml: environment.mcp_servers", "agents are given no MCP servers")
    if wanted.healthcheck:
        yield problem(
            "task.toml: environment.healthcheck", "is not run; let the image start nothing that must be waited for"
        )
    yield from _variable_problems("environment.env", wanted.env)


def harbor_problems(manifest: TaskManifest, files: Files) -> Iterator[FieldError]:
    """Yield what keeps a foreign package from being run under the harbor profile."""
    yield from environment_problems(manifest, files)
    if manifest.steps:
        yield problem("task.toml: steps", "tasks of several steps are not run; make each a task of its own")
    for section, user in (("agent", manifest.agent.user), ("verifier", manifest.verifier.user)):
        if user not in (None, "", "root", 0, "0"):
            yield problem(f"task.toml: {section}.user", f"{user!r}: everybody is root in the task's own container")
    yield from _variable_problems("verifier.env", manifest.verifier.env)
    yield from _variable_problems("solution.env", manifest.solution.env)
    yield from _verifier_problems(manifest)
    for path in manifest.artifacts:
        if not path.startswith("/") or ".." in path.split("/") or not path.strip("/"):
            yield problem("task.toml: artifacts", f"{path!r} is no absolute path of a file or folder")


def _verifier_problems(manifest: TaskManifest) -> Iterator[FieldError]:
    verifier = manifest.verifier
    if verifier.environment is not None:
        yield problem("task.toml: verifier.environment", "tests have no image of their own; they run in the task's")
    if verifier.collect:
        yield problem("task.toml: verifier.collect", "commands before collecting are not run; name files in artifacts")
    agent = manifest.agent.network_mode or manifest.environment.network_mode
    if verifier.network_mode is not None and verifier.network_mode != agent:
        yield problem("task.toml: verifier.network_mode", "agent and tests have one network; give it in [environment]")


def _variable_problems(where: str, env: Mapping[str, str]) -> Iterator[FieldError]:
    for name, value in env.items():
        if "${" in value:
            yield problem(f"task.toml: {where}.{name}", "takes its value from the host; tasks get nothing of it")
