"""Help names what is installed."""

import pytest

from synthbench.cli.__main__ import main
from synthbench.cli.installed import listed
from synthbench.sandbox.engines import GROUP, known_engines


def test_names_are_listed_in_words():
    assert listed(GROUP) == "bubblewrap, docker or process"
    assert listed("synthbench.nothing") == "none is installed"


@pytest.mark.parametrize("command", [["up"], ["generate-trajectory"], ["compare"], ["tasks", "check"]], ids=" ".join)
def test_help_of_a_command_that_starts_sandboxes_names_every_engine(
    command: list[str], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code in (0, None)
    shown = " ".join(capsys.readouterr().out.split())
    assert all(engine in shown for engine in known_engines())


def test_help_of_generate_trajectory_names_every_scaffold(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["generate-trajectory", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("native", "command", "mini-swe-agent", "swe-agent", "openhands", "oracle"))
