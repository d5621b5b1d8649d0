"""Settings from their sources, errors that keep secrets, and logs that do not tell them."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from pydantic import Field, SecretStr
from structlog.stdlib import BoundLogger

from synthbench.chassis import redaction
from synthbench.chassis.errors import SettingsError
from synthbench.chassis.logging import setup_logging
from synthbench.chassis.redaction import redact, redacted
from synthbench.chassis.settings import Settings, explain_settings, load_settings

DSN = "postgresql://owner:s3cr3t-word@db.example:5432/bench"


class MySettings(Settings):
    slots: int = Field(default=3, ge=1)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_first_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert load_settings(MySettings).nats_user == ""
    write(tmp_path / "synth-bench.toml", 'nats_user = "toml"\nslots = 7\nunknown = 1\n')
    assert (load_settings(MySettings).nats_user, load_settings(MySettings).slots) == ("toml", 7)
    monkeypatch.setenv("SYNTHBENCH_NATS_USER_FILE", str(write(tmp_path / "user", "file\n")))
    assert load_settings(MySettings).nats_user == "file"
    monkeypatch.setenv("SYNTHBENCH_NATS_USER", "environment")
    assert load_settings(MySettings).nats_user == "environment"
    assert MySettings(nats_user="given").nats_user == "given"


def test_config_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "synth-bench.toml", "slots = 7\n")
    monkeypatch.setenv("SYNTHBENCH_CONFIG", str(write(tmp_path / "other.toml", "slots = 8\n")))
    assert load_settings(MySettings).slots == 8


def test_each_value_knows_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "synth-bench.toml", 'log_level = "DEBUG"\n')
    monkeypatch.setenv("SYNTHBENCH_SLOTS", "4")
    monkeypatch.setenv("SYNTHBENCH_POSTGRES_DSN_FILE", str(write(tmp_path / "dsn", DSN)))
    rows = {row.name: row for row in explain_settings(load_settings(MySettings))}
    assert rows["slots"][1:] == ("4", "environment SYNTHBENCH_SLOTS")
    assert rows["log_level"][1:] == ("DEBUG", "synth-bench.toml")
    assert rows["postgres_dsn"][1:] == ("**********", "file named by SYNTHBENCH_POSTGRES_DSN_FILE")
    assert rows["http_port"][1:] == ("0", "default")


@pytest.mark.parametrize(
    ("environment", "toml", "said"),
    [
        ({"HTTP_PORT": "hunter22"}, "", "environment SYNTHBENCH_HTTP_PORT: Input should be a valid integer"),
        ({"HTTP_PORT": "-1", "LOG_LEVEL": "hunter22"}, "", "environment SYNTHBENCH_LOG_LEVEL: String should match"),
        ({}, 'slots = "hunter22"', "synth-bench.toml: Input should be a valid integer"),
        ({}, "slots = hunter22", "synth-bench.toml: Invalid value"),
        ({"CONFIG": "/no/such.toml"}, "", "SYNTHBENCH_CONFIG: there is no file /no/such.toml"),
        ({"API_TOKEN_FILE": "/no/such-file"}, "", "SYNTHBENCH_API_TOKEN_FILE: cannot read /no/such-file: No such file"),
        ({"API_TOKEN_FILE": "binary"}, "", "SYNTHBENCH_API_TOKEN_FILE: cannot read binary: "),
    ],
)
def test_an_error_is_one_line_without_the_value(
    environment: dict[str, str], toml: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "binary").write_bytes(b"\xffhunter22")
    write(tmp_path / "synth-bench.toml", toml)
    for name, value in environment.items():
        monkeypatch.setenv(f"SYNTHBENCH_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load_settings(MySettings)
    assert said in str(refused.value)
    assert "hunter22" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Registers secrets for this test only."""
    monkeypatch.setattr(redaction, "_secrets", set[str]())
    return redact


@pytest.fixture
def lines(
    registered: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[BoundLogger, Callable[[], list[dict[str, str]]]]]:
    """The real logger of a service, and what it wrote; afterwards logging is as it was."""
    stderr = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()  # setup closes those it finds, and pytest's are still needed
    monkeypatch.setattr(sys, "stderr", stderr)
    log = setup_logging("quality", "INFO")
    yield log, lambda: [json.loads(line) for line in stderr.getvalue().splitlines()]
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


Lines = tuple[BoundLogger, Callable[[], list[dict[str, str]]]]


@pytest.mark.parametrize(
    "fields",
    [
        {"value": SecretStr("hunter22")},
        {"nested": {"deep": [SecretStr("hunter22")]}},
        {"api_token": "hunter22"},
        {"attempt_key": "hunter22"},
        {"headers": {"Authorization": "hunter22"}},
        {"headers": {"x-api-key": "hunter22"}},
        {"url": "nats://scheduler:hunter22@127.0.0.1:4222"},
        {"error": "could not reach postgresql://owner:hunter22@db/bench; tried twice"},
        {"said": "Authorization: Bearer hunter22"},
        {"said": "Authorization: Basic aHVudGVyMjI="},
        {"error": ConnectionError("no bus at nats://scheduler:hunter22@127.0.0.1")},
        {"errors": [ValueError("Bearer hunter22")]},
        {"said": ("it was", "registered-value", "there")},
        {"path": Path("/run/registered-value")},
        {"raw": b"registered-value"},
        {"names": {"registered-value"}},
    ],
)
def test_no_secret_reaches_the_log(fields: dict[str, object], lines: Lines):
    log, written = lines
    redact("registered-value", SecretStr("another-one"), None, "short")
    log.warning("something happened", **fields)
    (line,) = written()
    assert line["event"] == "something happened"
    text = json.dumps(line)
    for secret in ("hunter22", "aHVudGVyMjI=", "registered-value"):
        assert secret not in text
    assert "*****" in text


def test_exceptions_and_libraries_are_redacted_too(lines: Lines):
    log, written = lines
    redact("registered-value")

    def leak() -> None:
        raise RuntimeError("registered-value leaked by postgresql://owner:hunter22@db/bench")

    try:
        leak()
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("some.library").exception("with %s", "registered-value")
    first, second = written()
    assert "RuntimeError" in first["exception"]
    assert second["event"] == "with **********"
    assert second["logger"] == "some.library"
    for secret in ("registered-value", "hunter22"):
        assert secret not in json.dumps([first, second])


def test_a_line_is_json_and_ordinary_words_stay(lines: Lines):
    log, written = lines
    log.info("ready", tokens=12, input_tokens=3, none=None, flag=True, ratio=0.5, text="a basic bearer of news")
    log.debug("not at this level")
    (line,) = written()
    expected = {"tokens": 12, "input_tokens": 3, "none": None, "flag": True, "ratio": 0.5}
    assert expected.items() <= line.items()
    assert (line["level"], line["service"], line["text"]) == ("info", "quality", "a basic bearer of news")


def test_short_values_do_not_blot_out_words(registered: Callable[..., None]):
    registered("abc", SecretStr("long-enough"))
    assert redacted("abcdef long-enough") == "abcdef **********"
