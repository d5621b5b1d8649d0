"""What network a task's sandbox gets: what the task asks for, where this executor allows it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from synthbench.contracts.trajectory import REFUSED_HOSTS_MOST, SandboxInfo
from synthbench.executor.environment import sandbox_info, spec_of
from synthbench.sandbox.errors import SpecRefused
from synthbench.sandbox.protocol import Isolation, Sandbox, SandboxEngine
from synthbench.sandbox.spec import Network
from synthbench.tasks import TaskPackage, load_library_task


class Engine:
    """Knows what it would allow."""

    def __init__(self, network: Network) -> None:
        self._network: Network = network

    async def probe(self) -> Isolation:
        return Isolation("docker", "0", isolated=True, unenforced=(), network=self._network)


def engine(network: Network) -> SandboxEngine:
    return cast("SandboxEngine", Engine(network))


def task(mode: Any, hosts: Sequence[str] = ()) -> TaskPackage:
    package = load_library_task("simple-task-001")
    environment = package.manifest.environment.model_copy(update={"network_mode": mode, "allowed_hosts": list(hosts)})
    return replace(package, manifest=package.manifest.model_copy(update={"environment": environment}))


async def test_a_task_gets_what_it_asks_for_and_its_verification_does_not():
    package = task("allowlist", ["Mirror.Example.org", "*.files.example.org"])
    spec = await spec_of(engine("allowlist"), package, "t", 4096)
    assert (spec.network, spec.allowed_hosts) == ("allowlist", ("mirror.example.org", "*.files.example.org"))
    verified = await spec_of(engine("allowlist"), package, "t", 4096, verified=True)
    assert (verified.network, verified.allowed_hosts) == ("none", ())
    assert (await spec_of(engine("public"), task("public"), "t", 4096)).network == "public"
    assert (await spec_of(engine("public"), task(None), "t", 4096)).network == "none"


@pytest.mark.parametrize(
    ("allowed", "package", "said"),
    [
        ("none", task("allowlist", ["mirror.example.org"]), "SYNTHBENCH_ALLOW_NETWORK=allowlist"),
        ("allowlist", task("public"), "SYNTHBENCH_ALLOW_NETWORK=public"),
        ("public", task("allowlist", ["10.0.0.1"]), "'10.0.0.1' is not a host name"),
        ("public", task("allowlist"), "allowed_hosts"),
    ],
)
async def test_the_rest_is_refused_in_one_line(allowed: Network, package: TaskPackage, said: str):
    with pytest.raises(SpecRefused, match=said) as caught:
        await spec_of(engine(allowed), package, "t", 4096)
    assert "\n" not in str(caught.value)


class Box:
    """Was asked for so many hosts."""

    image = None
    isolation = Isolation("docker", "0", isolated=True, unenforced=(), network="allowlist")

    def __init__(self, asked: int) -> None:
        self.refused = [f"host-{number}.test:443" for number in range(asked)]


@pytest.mark.parametrize("asked", [0, 2, 300])
def test_the_record_says_what_was_refused_up_to_a_bound(asked: int):
    info = sandbox_info(cast("Sandbox", Box(asked)))
    assert info.refused_hosts == [f"host-{number}.test:443" for number in range(min(asked, 100))]


def test_a_report_with_more_is_no_report():
    with pytest.raises(ValidationError):
        SandboxInfo(refused_hosts=["x"] * (REFUSED_HOSTS_MOST + 1))
