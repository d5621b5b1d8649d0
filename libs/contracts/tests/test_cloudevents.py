"""The CloudEvents codec: what goes out comes in, and what is broken says so field by field."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import Envelope, MalformedEvent
from synthbench.contracts.events import CancelRequested, TaskReady, TaskSubmitted
from synthbench.contracts.ids import derived_id
from synthbench.contracts.records import ArtifactRef, Priority, Rollout, TaskInfo

DIGEST = "sha256:" + "0" * 64
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def rollout(**changes: Any) -> Rollout:
    given: dict[str, Any] = {
        "rollout_id": uuid4(),
        "submission_id": uuid4(),
        "campaign": "c",
        "task": TaskInfo(name="t", digest=DIGEST),
        "scaffold": "native",
        "pool": "bubblewrap",
    }
    return Rollout(**(given | changes))


def decode(message: cloudevents.Message) -> Envelope:
    return cloudevents.decode(message.subject, message.headers, message.payload, sequence=lambda: 7, stream="EVENTS")


def test_an_envelope_survives_the_wire():
    envelope = Envelope(TaskSubmitted(task="simple-task-001"), source="test", trace=TRACE)
    assert decode(cloudevents.encode(envelope)) == envelope


def test_the_scope_is_in_the_headers_for_those_who_only_route():
    ready = rollout(priority=Priority.HIGH)
    body = TaskReady(submission_id=ready.submission_id, campaign="c", rollout_id=ready.rollout_id, rollout=ready)
    message = cloudevents.encode(Envelope(body, source="test"))
    assert message.subject == "task.ready.bubblewrap.high"
    assert message.headers["ce-rollout"] == str(ready.rollout_id)
    assert message.headers["ce-campaign"] == "c"


def test_bare_json_is_accepted_and_has_the_same_id_at_each_delivery():
    first, again = (
        cloudevents.decode("task.submitted", {}, b'{"task": "simple-task-001"}', sequence=lambda: 3, stream="EVENTS")
        for _ in range(2)
    )
    assert first.body == TaskSubmitted(task="simple-task-001")
    assert first.id == again.id == derived_id("event", "EVENTS", 3)


def test_header_names_are_case_insensitive():
    sent = {"CE-Id": str(uuid4()), "Ce-Type": "synthbench.task.submitted.v1"}
    headers = cloudevents.lowered(sent)
    envelope = cloudevents.decode("task.submitted", headers, b'{"task": "x"}', sequence=lambda: 1, stream="EVENTS")
    assert str(envelope.id) == sent["CE-Id"]


def test_a_foreign_id_becomes_always_the_same_uuid():
    headers = {"ce-id": "order-17", "ce-time": "yesterday"}
    one, two = (
        cloudevents.decode("task.submitted", headers, b'{"task": "x"}', sequence=iter([n]).__next__, stream="EVENTS")
        for n in (1, 2)
    )
    assert one.id == two.id
    assert one.time <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("subject", "headers", "payload", "field", "message"),
    [
        ("task.submitted", {}, b"{", "", "Invalid JSON"),
        ("task.submitted", {}, b"[]", "", "should be an object"),
        ("task.submitted", {}, b"{}", "task", "Field required"),
        ("task.submitted", {}, b'{"task": "x", "modle": "y"}', "modle", "Extra inputs"),
        ("task.submitted", {}, b'{"task": "x", "samples": 0}', "samples", "greater than or equal to 1"),
        ("task.submitted", {}, b'{"task": "x", "campaign": "a b"}', "campaign", "pattern"),
        ("cancel.requested", {}, b"{}", "", "exactly one"),
        ("task.nonsense", {}, b"{}", "", "no event of type '(none)'"),
        ("task.submitted", {"ce-type": "synthbench.attempt.closed.v1"}, b"{}", "", "belongs on subject"),
    ],
)
def test_a_broken_event_says_what_is_wrong(subject, headers, payload, field, message):
    with pytest.raises(MalformedEvent) as caught:
        cloudevents.decode(subject, headers, payload, sequence=lambda: 1, stream="EVENTS")
    assert caught.value.errors[0].field == field
    assert message in caught.value.errors[0].message
    assert "\n" not in str(caught.value)


def test_a_claim_check_replaces_the_payload_and_is_found_again():
    message = cloudevents.encode(Envelope(CancelRequested(campaign="c"), source="test"))
    reference = ArtifactRef(uri="artifact://sha256/00", digest=DIGEST, size=9)
    checked = cloudevents.with_reference(message, reference)
    assert cloudevents.reference_of(checked.headers, checked.payload) == reference
    assert cloudevents.reference_of(message.headers, message.payload) is None


def test_a_broken_claim_check_is_malformed():
    with pytest.raises(MalformedEvent, match="ce-dataref"):
        cloudevents.reference_of({"ce-dataref": "x"}, b"{}")
