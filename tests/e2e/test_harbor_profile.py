"""A package of Harbor's, with an image of its own, whose solution installs packages and leaves a service running."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]

GREETER = Path(__file__).with_name("greeter")


@pytest.fixture(scope="module")
def stack(data_folders: Path, make_stack):
    made = make_stack(
        data_folders / "harbor", SYNTHBENCH_ENGINES="docker,bubblewrap", SYNTHBENCH_BUILD_NETWORK="default"
    )
    made.run("up")
    yield made
    made.down()


def record_of(stack, row: dict) -> dict:
    """The whole record of a row."""
    return json.loads(stack.ask("trajectories", "export", row["trajectory"]).stdout)


def test_the_solution_installs_and_serves_and_its_reward_is_forgeable(stack):
    row = stack.json("generate-trajectory", "--task", str(GREETER), "--scaffold", "oracle")[0]
    assert (row["outcome"], row["reward"], row["verdict"]) == ("solved", 1.0, "review"), row
    record = record_of(stack, row)
    verification = record["verification"]
    assert verification["forgeable"]
    assert verification["in_place"]
    assert verification["reward_parts"] == {"reward": 1.0}
    assert record["context"]["sandbox"]["image_digest"].startswith("sha256:")
    kept = {one["path"]: one for one in record["kept"]}
    assert kept["/app/served.log"]["artifact"]["size"] > 0
    digest = kept["/app/served.log"]["artifact"]["digest"].removeprefix("sha256:")
    archive = next(path for path in stack.artifacts() if path.name == digest)
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
        file = tar.extractfile("served.log")
        assert file
        assert b"key" in file.read()


def test_nothing_done_is_a_reward_of_zero(stack):
    row = stack.json("generate-trajectory", "--task", str(GREETER), "--scaffold", "nop")[0]
    assert (row["outcome"], row["reward"], row["verdict"]) == ("unsolved", 0.0, "reject"), row


def test_the_tests_may_run_in_a_container_of_their_own(stack, tmp_path: Path):
    """Then nothing but the workspace's changes gets there: what was installed, and the service, did not."""
    package = tmp_path / "apart"
    shutil.copytree(GREETER, package)
    manifest = (package / "task.toml").read_text().replace("[verifier]", '[verifier]\nenvironment_mode = "separate"')
    (package / "task.toml").write_text(manifest)
    (package / "tests" / "test.sh").write_text(
        "dpkg -s tree >/dev/null 2>&1; installed=$?\n"
        '[ -f served.log ] && [ $installed != 0 ] && echo \'{"kept": 1, "fresh": 1}\' >/logs/verifier/reward.json\n'
    )
    row = stack.json("generate-trajectory", "--task", str(package), "--scaffold", "oracle")[0]
    assert (row["outcome"], row["reward"], row["verdict"]) == ("solved", 1.0, "review"), row
    verification = record_of(stack, row)["verification"]
    assert verification["reward_parts"] == {"kept": 1.0, "fresh": 1.0}
    assert not verification["in_place"]


def test_without_a_container_it_is_refused_with_the_reason(stack):
    done = stack.ask(
        "generate-trajectory", "--task", str(GREETER), "--scaffold", "oracle", "--sandbox", "bubblewrap", check=False
    )
    assert done.returncode != 0
    assert "greeter runs on docker (it needs its own image, and root in it); offered: bubblewrap" in " ".join(
        done.stderr.split()
    )
