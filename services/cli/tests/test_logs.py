"""Logs of all processes in one view, and their rotation while they are written."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from synthbench.cli.commands.logs import logs
from synthbench.cli.log_lines import read_line
from synthbench.embedded.log_files import rotate_logs

SERVICE = (
    '{"event": "attempt closed", "attempt": 2, "reason": "no sandbox\\u001b[31m", '
    '"level": "warning", "timestamp": "2026-11-29T00:50:12.5Z"}'
)
NATS = "[77] 2026/11/29 00:50:11.250000 [INF] Server is ready"
POSTGRES = "2026-11-29 00:50:13.750 UTC [78] ERROR:  deadlock detected"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNTHBENCH_DATA_DIR", str(tmp_path))
    made = tmp_path / "logs"
    made.mkdir()
    (made / "scheduler.log").write_text(SERVICE + "\n")
    (made / "nats.log").write_text(NATS + "\n")
    (made / "postgres.log").write_text(POSTGRES + "\nand a line without a time\n")
    return made


def test_lines_of_all_processes_stand_in_the_order_of_their_times(folder: Path, capsys: pytest.CaptureFixture[str]):
    asyncio.run(logs())
    assert capsys.readouterr().out.splitlines() == [
        "00:50:11.250 info    nats        Server is ready",
        '00:50:12.500 warning scheduler   attempt closed  attempt=2 reason="no sandbox\N{REPLACEMENT CHARACTER}[31m"',
        "00:50:13.750 error   postgres    deadlock detected",
        "             info    postgres    and a line without a time",
    ]


def test_a_level_and_a_count_choose_lines(folder: Path, capsys: pytest.CaptureFixture[str]):
    asyncio.run(logs(level="warning", lines=1))
    assert capsys.readouterr().out == "00:50:13.750 error   postgres    deadlock detected\n"


def test_json_has_every_field(folder: Path, capsys: pytest.CaptureFixture[str]):
    asyncio.run(logs("scheduler", json=True))
    assert json.loads(capsys.readouterr().out) == {
        "attempt": 2, "reason": "no sandbox\x1b[31m", "timestamp": "2026-11-29T00:50:12.500000+00:00",
        "level": "warning", "process": "scheduler", "event": "attempt closed",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "{", '{"level": 7, "timestamp": []}', "\x00", '{"event": {"a": 1}}', "[1] x [INF]"]
)
def test_no_line_is_too_odd(text: str):
    assert read_line("nats", text).text()


def test_a_large_log_is_rotated_while_its_process_writes_on(tmp_path: Path):
    log = tmp_path / "scheduler.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, b"a" * 100)
        assert rotate_logs(tmp_path, most=200) == []
        os.write(descriptor, b"b" * 150)
        assert rotate_logs(tmp_path, most=200) == ["scheduler.log"]
        os.write(descriptor, b"c" * 10)
    finally:
        os.close(descriptor)
    assert (tmp_path / "scheduler.log.1").read_bytes() == b"a" * 100 + b"b" * 150
    assert log.read_bytes() == b"c" * 10
