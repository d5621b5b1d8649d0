"""What cannot take effect on a running stack is refused with the cure; executors scale alone."""

import pytest

from synthbench.client.errors import CliError
from synthbench.embedded.layout import default_permits, instances_of
from synthbench.embedded.stack_options import StackOptions, mismatch, started_with

SECRET = "secret"


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({}, ""),
        ({"sandbox": "docker", "replicas": 1, "executors": 2, "concurrency": 4}, ""),
        ({"sandbox": "process"}, "has the sandbox engine docker, not process"),
        ({"replicas": 3}, "has 1 replicas of each service, not the 3 of --replicas"),
        ({"executors": 1}, "has 2 executors, not the 1 of --executors"),
        ({"concurrency": 8}, "has 4 attempts at once in each executor, not the 8 of --concurrency"),
        ({"base_url": "http://b"}, "asks for models at http://a, not at http://b"),
        ({"base_url": "http://a", "api_key_env": "KEY"}, "has another key for its models than the one in KEY"),
    ],
)
def test_what_a_running_stack_cannot_do_is_said(wanted: dict, told: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYNTHBENCH_UPSTREAM_BASE_URL", "http://a")
    monkeypatch.setenv("SYNTHBENCH_UPSTREAM_API_KEY", "first")
    running = started_with(StackOptions(executors=2, concurrency=4), SECRET)
    assert "first" not in str(running)
    monkeypatch.setenv("SYNTHBENCH_UPSTREAM_API_KEY", "second")
    assert mismatch(running, ["docker"], StackOptions(**wanted), SECRET) == told


def test_the_same_key_under_another_name_is_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYNTHBENCH_UPSTREAM_API_KEY", "one")
    running = started_with(StackOptions(), SECRET)
    assert mismatch(running, [], StackOptions(api_key_env="OTHER"), SECRET) == ""


@pytest.mark.parametrize(
    ("given", "option"), [({"base_url": "u"}, "--base-url"), ({"api_key_env": "K"}, "--api-key-env")]
)
def test_a_stack_elsewhere_refuses_what_only_its_own_settings_can_do(given: dict, option: str):
    with pytest.raises(CliError, match=f"{option} has no effect .* set SYNTHBENCH_UPSTREAM_BASE_URL"):
        StackOptions(**given).refuse_elsewhere()


def test_executors_scale_alone():
    assert [str(one) for one in instances_of(1, 3)].count("executor") == 1
    assert [str(one) for one in instances_of(1, 3)][-2:] == ["executor-2", "executor-3"]
    assert len(instances_of(1, 3)) == 8
    assert len(instances_of(2)) == 12


def test_more_attempts_go_beside_each_other_where_a_provider_is_asked():
    assert default_permits({"HOME": "/", "SYNTHBENCH_ENGINES": "docker", "SYNTHBENCH_OPENAI_API_KEY": ""}) == 2
    assert default_permits({"SYNTHBENCH_OPENAI_API_KEY": "k"}) > 2
    assert default_permits({"SYNTHBENCH_MODELS_FILE": "models.toml"}) <= 64
