"""A recorded campaign replays without a provider, to the same canonical digest."""

import hashlib
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_upstream import KEY, Answer, Upstream
from synthbench.tasks import load_library_task

pytestmark = pytest.mark.timeout(240)

TASK = "simple-task-001"
SAMPLES = 2
CAMPAIGN = """
[campaign]
name = "{name}"
tasks = ["simple-task-001"]
models = ["{model}"]
samples = 2
"""


def player():
    """Solves the task, and never says the same twice."""
    changes = load_library_task(TASK).solution_changes()
    writes = [("write_file", {"path": path, "content": (data or b"").decode()}) for path, data in changes.items()]
    # The third one prints how long it took: another time in each run.
    turns = [[("bash", {"command": "ls"})], writes, [("bash", {"command": "python3 -m unittest; date +%T"})]]
    said = itertools.count()

    def say(wire: str, body: dict) -> Answer:
        number = sum(message["role"] == "assistant" for message in body["messages"])
        calls = turns[number] if number < len(turns) else [("submit", {"summary": "rounded well"})]
        return Answer(f"Thought {next(said)}.", calls)

    return say


@contextmanager
def trap(port: int) -> Generator[list[str]]:
    """Listen where the provider was; whoever connects is caught."""
    caught: list[str] = []

    def accept() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            caught.append(str(address))
            connection.close()

    with socket.create_server(("127.0.0.1", port)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield caught
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def run(stack, tmp_path: Path, name: str, model: str = "gpt-4o-mini", *, check: bool = True):
    file = tmp_path / f"{name}.toml"
    file.write_text(CAMPAIGN.format(name=name, model=model))
    return stack.ask("run", str(file), check=check)


def digest_of(stack, name: str) -> dict:
    return json.loads(stack.ask("campaigns", "digest", name, "--json").stdout)


def last_recording(folder: Path, sample: int) -> Path:
    """The recording of a sample's last turn."""

    def messages(record: Path) -> int:
        asked = json.loads(record.read_bytes())["asked"]["digest"].removeprefix("sha256:")
        return len(json.loads((folder / "sha256" / asked[:2] / asked).read_bytes())["messages"])

    return max((folder / "key" / "recordings").rglob(f"s{sample}.0.json"), key=messages)


def change_answer(folder: Path, record: Path, old: bytes, new: bytes) -> None:
    """Put another answer into a recording, as somebody might by hand."""
    content = json.loads(record.read_bytes())
    digest = content["answer"]["digest"].removeprefix("sha256:")
    body = (folder / "sha256" / digest[:2] / digest).read_bytes()
    assert body.count(old) == 1
    changed = body.replace(old, new)
    name = hashlib.sha256(changed).hexdigest()
    path = folder / "sha256" / name[:2] / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(changed)
    content["answer"] |= {"digest": f"sha256:{name}", "uri": f"artifact://sha256/{name}", "size": len(changed)}
    record.write_text(json.dumps(content))


def test_a_recorded_campaign_replays_offline_to_the_same_digest(data_folders: Path, make_stack, background, tmp_path):
    upstream = Upstream()
    upstream.say = player()
    background.run(upstream.start())
    folder = data_folders / f"recordings-{time.time_ns()}"
    settings = {
        "SYNTHBENCH_RECORDINGS_URL": f"file://{folder}", "SYNTHBENCH_UPSTREAM_BASE_URL": upstream.url,
        "SYNTHBENCH_MAX_ATTEMPTS": "1",
    }  # fmt: skip
    first = make_stack(
        data_folders / f"record-{time.time_ns()}",
        SYNTHBENCH_RECORDING="on",
        SYNTHBENCH_UPSTREAM_API_KEY=KEY,
        **settings,
    )
    try:
        first.run("up")
        run(first, tmp_path, "night")
        recorded = digest_of(first, "night")
        cost = first.json("cost", "--by", "campaign")
    finally:
        first.down()
        background.run(upstream.stop())
    assert len(recorded["rollouts"]) == SAMPLES
    assert sum(bool(one.body["messages"]) for one in upstream.seen) == 4 * SAMPLES  # beside the probe of the route
    assert cost[0]["cost_microusd"] > 0
    answers = Counter(record.parent for record in (folder / "key" / "recordings").rglob("*.json"))
    assert max(answers.values()) == SAMPLES, "the first request is the same, and each sample has its answer"

    second = make_stack(data_folders / f"replay-{time.time_ns()}", SYNTHBENCH_RECORDING="read-only", **settings)
    with trap(upstream.port) as caught:
        try:
            second.run("up")
            run(second, tmp_path, "night")
            replayed = digest_of(second, "night")
            assert replayed["digest"] == recorded["digest"]
            assert [one["digest"] for one in replayed["rollouts"]] == [one["digest"] for one in recorded["rollouts"]]
            assert {row["cost_microusd"] for row in second.json("cost", "--by", "campaign")} == {0}

            run(second, tmp_path, "again", "replay/gpt-4o-mini")
            assert digest_of(second, "again")["digest"] == recorded["digest"]

            record = last_recording(folder, sample=0)
            change_answer(folder, record, b"rounded well", b"rounded badly")
            run(second, tmp_path, "changed")
            changed = digest_of(second, "changed")
            assert changed["digest"] != recorded["digest"]
            same = [a["digest"] == b["digest"] for a, b in zip(changed["rollouts"], recorded["rollouts"], strict=True)]
            assert same == [False, True]

            record.unlink()
            missed = run(second, tmp_path, "missed", check=False)
            assert missed.returncode == 1
            assert "nothing is recorded of this request; record it with SYNTHBENCH_RECORDING=on" in missed.stderr
            assert "no recording of model gpt-4o-mini, request sha256:" in missed.stderr
            assert [one["sample"] for one in digest_of(second, "missed")["rollouts"]] == [1]
        finally:
            second.down()
    assert caught == []
    assert sum(bool(one.body["messages"]) for one in upstream.seen) == 4 * SAMPLES  # beside the probe of the route
