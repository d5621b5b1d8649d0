"""Packages of Harbor's: what is read of them, and what is refused by its name."""

from pathlib import Path

import pytest

from synthbench.tasks import TaskError, load_package

HEAD = '[task]\nname = "org/name"\n'


def package(folder: Path, manifest: str, *files: str) -> Path:
    for name in ("instruction.md", "tests/test.sh", *(files or ["environment/Dockerfile"])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("FROM scratch\n")
    (folder / "task.toml").write_text(manifest)
    return folder


def test_what_says_nothing_is_run_as_harbor_would(tmp_path: Path):
    task = load_package(package(tmp_path, HEAD))
    assert (task.profile, task.engines, task.builds_image, task.verified_in_place) == ("harbor", ["docker"], True, True)
    assert task.network.mode == "public"


def test_keys_of_harbor_are_read(tmp_path: Path):
    manifest = f"""version = "1.0"
artifacts = ["/a", {{ source = "/b", destination = "c" }}]
{HEAD}
[environment]
docker_image = "some/where:1"
memory = "2G"
storage = "10240M"
cpus = 2
allow_internet = false
workdir = "/usr/src/app"
[verifier]
environment_mode = "separate"
"""
    task = load_package(package(tmp_path, manifest, "README.md"))
    assert (task.image_name, task.builds_image, task.verified_in_place) == ("some/where:1", False, False)
    assert (task.limits.memory_mb, task.limits.storage_mb, task.limits.cpus) == (2048, 10_240, 2)
    assert task.network.mode == "no-network"
    assert task.manifest.artifacts == ["/a", "/b"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ('[environment]\nos = "windows"', "environment.os"),
        ("[environment]\ngpus = 1", "environment.gpus"),
        ('[[environment.mcp_servers]]\nname = "x"', "environment.mcp_servers"),
        ('[environment.healthcheck]\ncommand = "true"', "environment.healthcheck"),
        ('[environment.env]\nKEY = "${OPENAI_API_KEY}"', "environment.env.KEY"),
        ('[verifier.env]\nKEY = "${OPENAI_API_KEY:-}"', "verifier.env.KEY"),
        ('[solution.env]\nKEY = "x${A}"', "solution.env.KEY"),
        ('[agent]\nuser = "somebody"', "agent.user"),
        ("[verifier]\nuser = 1000", "verifier.user"),
        ('[verifier.environment]\ndocker_image = "x"', "verifier.environment"),
        ('[[verifier.collect]]\ncommand = "x"', "verifier.collect"),
        ('[verifier]\nnetwork_mode = "public"\n[environment]\nnetwork_mode = "no-network"', "verifier.network_mode"),
        ('[[steps]]\nname = "one"', "steps"),
        ('[[artifacts]]\nsource = "/a"\nservice = "db"', "artifacts"),
    ],
)
def test_what_is_not_run_is_refused_by_its_name(tmp_path: Path, more: str, field: str):
    with pytest.raises(TaskError) as caught:
        load_package(package(tmp_path, f"{HEAD}{more}\n"))
    assert [problem.field for problem in caught.value.problems if field in problem.field], str(caught.value)


def test_several_containers_and_no_image_at_all_are_refused(tmp_path: Path):
    with pytest.raises(TaskError, match=r"docker-compose\.yaml.*Dockerfile: is missing"):
        load_package(package(tmp_path, HEAD, "environment/docker-compose.yaml"))


def test_a_strict_task_uses_its_dockerfile_only_where_it_says_so(tmp_path: Path):
    own = '[metadata.synthbench]\nfail_to_pass = ["test_a.A.test"]\n'
    files = ("environment/Dockerfile", "environment/workspace/a.py", "solution/solve.sh", "tests/test_a.py")
    assert not load_package(package(tmp_path, HEAD + own, *files)).builds_image
    with pytest.raises(TaskError, match="needs a container"):
        load_package(package(tmp_path, f'{HEAD}{own}runtime = "dockerfile"\n', *files))
    task = load_package(package(tmp_path, f'{HEAD}{own}runtime = "dockerfile"\nengines = ["docker"]\n', *files))
    assert (task.profile, task.builds_image, task.network.mode) == ("strict", True, "no-network")
