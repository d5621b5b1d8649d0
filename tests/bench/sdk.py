"""The floor of everybody who uses Docker: its SDK, a container, and an exec for each command."""

from typing import Any

from synthbench.sandbox.docker import BASE_IMAGE


class Sdk:
    """What the peers do: a container, and an exec for each command."""

    def __init__(self) -> None:
        import docker  # noqa: PLC0415 - only where there is an engine

        self._client: Any = docker.from_env()
        self._container: Any = self._start()

    def _start(self) -> Any:
        return self._client.containers.run(
            BASE_IMAGE, ["sleep", "600"], detach=True, network_mode="none", cap_drop=["ALL"], mem_limit="256m",
            security_opt=["no-new-privileges:true"], pids_limit=64, auto_remove=True, init=True,
        )  # fmt: skip

    def run(self, argv: list[str]) -> None:
        code, output = self._container.exec_run(argv)
        assert code == 0, output

    def upload(self, archive: bytes) -> None:
        assert self._container.put_archive("/root", archive)

    def trajectory(self, agent: list[str], others: int, *, commands: bool) -> None:
        """What one trajectory needs at least: one container for the agent and some to verify in, and their commands."""
        container = self._start()
        for command in agent if commands else []:
            container.exec_run(["bash", "-c", command])
        container.remove(force=True)
        for _ in range(others):
            container = self._start()
            if commands:
                container.exec_run(["python3", "-c", "import unittest"])
            container.remove(force=True)

    def cycle(self) -> None:
        container = self._start()
        assert container.exec_run(["true"]).exit_code == 0
        container.remove(force=True)

    def close(self) -> None:
        self._container.remove(force=True)
        self._client.close()
