"""Ids, digests, usage, and the registry's rules."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from synthbench.contracts.ids import canonical_json, derived_id, sha256_digest, uuid7
from synthbench.contracts.records import ArtifactRef, Outcome, Timing, Usage
from synthbench.contracts.registry import (
    EVENTS,
    OPERATOR,
    Service,
    arrives_as,
    check_clients,
    declared_pools,
    durable,
    durables,
    sender_of,
    spec_for_subject,
)
from synthbench.contracts.rpc import ClaimReply
from synthbench.contracts.steps import Action, ModelCall, State, Step, StepOrigin, step_digest
from synthbench.contracts.streams import streams


def test_uuid7_sorts_by_time_and_has_the_right_bits():
    first = uuid7()
    time.sleep(0.002)
    second = uuid7()
    assert first < second
    assert first.version == 7
    assert first.variant == "specified in RFC 4122"
    assert abs((first.int >> 80) / 1000 - time.time()) < 5


def test_derived_ids_follow_from_their_parts():
    assert derived_id("a", 1) == derived_id("a", 1) != derived_id("a", 2)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=5))
def test_canonical_json_does_not_depend_on_order(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_a_step_digest_covers_everything_but_itself():
    step = Step(started_at=datetime(2026, 1, 1, tzinfo=UTC), finished_at=datetime(2026, 1, 2, tzinfo=UTC)).sealed()
    assert step_digest(step) == step.digest
    assert step.model_copy(update={"action": Action(message="x")}).sealed().digest != step.digest
    assert Step.model_validate_json(step.to_json()).sealed().digest == step.digest


def test_fields_that_came_later_leave_older_digests_as_they_are():
    step = Step(
        started_at=datetime(2026, 1, 1, tzinfo=UTC), finished_at=datetime(2026, 1, 2, tzinfo=UTC),
        action=Action(message="x"), state=State(cwd="/workspace", patch="p"),
    ).sealed()  # fmt: skip
    assert step.digest == "sha256:3828098fde0f156c5a9867d015c0fa96ff3decc479a9aae722c57bd5ea626888"
    origin = StepOrigin(rollout_id=uuid7(), attempt=1)
    checkpoint = ArtifactRef(uri="artifact://key/x", digest="sha256:" + "0" * 64)
    for later in (
        {"copied_from": origin},
        {"state": step.state.model_copy(update={"checkpoint": checkpoint})},
        {"state": step.state.model_copy(update={"left_out": {"a": "is a device"}})},
        {"native": "{}"},
        {"usage": step.usage.model_copy(update={"cache_write_1h_tokens": 1})},
    ):
        assert step.model_copy(update=later).sealed().digest != step.digest
    asked = step.model_copy(update={"model_call": ModelCall(model="m")}).sealed()
    assert asked.digest == "sha256:983661c941a5e7cdaef40aa8cdba60876fe9239398fcd476733c004c040cd602"
    for call in (ModelCall(model="m", whole=True), ModelCall(model="m", sampling='{"seed":1}')):
        assert asked.model_copy(update={"model_call": call}).sealed().digest != asked.digest


counts = st.integers(min_value=0, max_value=10**9)
usages = st.builds(
    Usage, calls=counts, input_tokens=counts, output_tokens=counts, cost_microusd=counts, cost_known=st.booleans()
)


@given(usages, usages)
def test_usages_add_up(one, two):
    total = one + two
    assert total.input_tokens == one.input_tokens + two.input_tokens
    assert total.cost_known == (one.cost_known and two.cost_known)
    assert one + Usage() == one


def test_only_our_failures_and_cancels_are_not_gradable():
    assert {o for o in Outcome if not o.gradable} == {Outcome.INFRA_ERROR, Outcome.CANCELLED}


def test_an_attempt_key_is_on_the_wire_but_not_in_a_repr():
    reply = ClaimReply(status="granted", attempt_key=SecretStr("very-secret"))
    assert "very-secret" not in repr(reply)
    assert ClaimReply.model_validate_json(reply.to_json()) == reply


def test_durables_are_unique_and_filters_of_work_queues_do_not_overlap():
    clients = ("alice", "bob")
    found = [*durables(clients)]
    names = [(d.stream, d.name) for d in found]
    assert len(names) == len(set(names))
    queues = {spec.name for spec in streams(clients) if spec.retention == "workqueue"}
    queued = [d.subject for d in found if d.stream in queues]
    assert len(queued) == len(set(queued))
    assert all("." not in d.name for d in found)


def test_every_subject_lies_in_exactly_one_stream():
    clients = ("alice", "bob")
    said = [subject for spec in EVENTS if not spec.named for subject in spec.subjects()]
    said += [arrives_as(one, sender) for spec in EVENTS if spec.by_sender for one in spec.subjects()
             for sender in spec.senders(clients)]  # fmt: skip
    said += [arrives_as("task.rejected", sender) for sender in (OPERATOR, *clients)]
    for subject in said:
        holders = [spec.name for spec in streams(clients) if any(covers(one, subject) for one in spec.subjects)]
        assert len(holders) == 1, (subject, holders)


def covers(pattern: str, subject: str) -> bool:
    """As NATS matches subjects."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(found) >= len(wanted) and covers(".".join(wanted[:-1]), ".".join(found[: len(wanted) - 1]))
    return len(wanted) == len(found) and all(a in ("*", b) for a, b in zip(wanted, found, strict=True))


def test_a_durable_reads_where_its_subject_lies():
    clients = ("client", "bob")
    specs = {spec.name: spec for spec in streams(clients)}
    for one in durables(clients):
        assert any(covers(pattern, one.subject) for pattern in specs[one.stream].subjects), one


@pytest.mark.parametrize(
    ("subject", "sender"),
    [
        ("task.submitted", "operator"),
        ("task.submitted.alice", "alice"),
        ("verification.requested.docker", "operator"),
        ("verification.requested.docker.quality", "quality"),
        ("verification.requested.docker.docker", "docker"),
    ],
)
def test_a_subject_says_who_sent_it(subject: str, sender: str):
    assert sender_of(subject) == sender


@pytest.mark.parametrize(
    "name", ["operator", "quality", "topology", "Alice", "a.b", "a*", ">", "", "-a", "a" * 33, "a b"]
)
def test_a_client_bears_no_name_of_ours_and_none_that_is_more_than_a_token(name: str):
    with pytest.raises(ValueError, match="cannot be a client's name"):
        check_clients([name])


def test_a_service_reads_only_what_it_declares():
    with pytest.raises(KeyError, match="quality is not declared"):
        durable(Service.QUALITY, "task.submitted")
    with pytest.raises(KeyError, match=r"task\.ready moon\.high"):
        durable(Service.EXECUTOR, "task.ready", "moon.high")


def test_digest_form():
    assert sha256_digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_sealed_step_is_what_is_read_of_it_though_a_copy_was_never_checked():
    timing = Timing().model_copy(update={"tool_seconds": 0})  # an integer, as sum() gives it of nothing
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    step = Step(started_at=moment, finished_at=moment).model_copy(update={"timing": timing}).sealed()
    assert step_digest(Step.model_validate_json(step.to_json())) == step.digest


def test_a_further_pool_has_subjects_and_durables_of_its_own():
    pools = declared_pools(["small", "docker"])
    assert pools == ("bubblewrap", "docker", "process", "small")
    subjects = {one.subject for one in durables(("alice",), pools)}
    assert {"task.ready.small.high", "verification.requested.small", "verification.requested.small.alice"} <= subjects
    assert sender_of("verification.requested.small") == OPERATOR
    assert sender_of("verification.requested.small.alice") == "alice"
    assert durable(Service.EXECUTOR, "task.ready", "small.low", pools=pools).name == "executor-task-ready-small-low"


@pytest.mark.parametrize(
    ("subject", "event"),
    [
        ("task.ready.small.high", "task.ready"),
        ("task.ready.small.urgent", None),
        ("task.ready.small", None),
        ("task.ready.Small.high", None),
        ("verification.requested.small.alice", "verification.requested"),
    ],
)
def test_a_subject_belongs_to_an_event_whatever_the_pool(subject: str, event: str | None):
    spec = spec_for_subject(subject)
    assert (spec.name if spec else None) == event


@pytest.mark.parametrize("name", ["a.b", "Small", ">", "", "-a", "a" * 33])
def test_a_pool_is_one_token_of_a_subject(name: str):
    with pytest.raises(ValueError, match="cannot be a pool's name"):
        declared_pools([name])
