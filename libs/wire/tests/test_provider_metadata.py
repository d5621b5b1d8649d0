"""What a provider wants back is read from its answer, and put into the next request where the caller left it out."""

import pytest

from synthbench.wire.provider_metadata import ProviderMetadata
from synthbench.wire.wires import WIRES

SIGNED = {"google": {"thought_signature": "c2ln"}}
DETAILS = [{"type": "reasoning.encrypted", "data": "abc"}]
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "xyz"}
TEXT = {"type": "text", "text": "So."}


def use(name: str, **more: object) -> dict:
    return {"type": "tool_use", "id": name, "name": "f", "input": {}, **more}


def completion(**message: object) -> dict:
    return {"choices": [{"message": {"role": "assistant", "content": None, "annotations": [], **message}}]}


def asked(*messages: dict) -> dict:
    return {"model": "m", "messages": [{"role": "user", "content": "Go."}, *messages]}


def test_openai_calls_get_their_fields_and_the_first_one_those_of_the_message():
    answer = completion(
        tool_calls=[{**CALL, "extra_content": SIGNED}, {**CALL, "id": "b"}], reasoning_details=DETAILS, reasoning="Hm."
    )
    kept = WIRES["openai"].metadata_of(answer)
    assert kept["a"] == ProviderMetadata({"extra_content": SIGNED}, {"reasoning_details": DETAILS})
    assert not kept["b"]
    left_out = asked({"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "b"}]})
    made = WIRES["openai"].restore_metadata(left_out, kept, {})["messages"][1]
    assert made["tool_calls"] == [{**CALL, "extra_content": SIGNED}, {**CALL, "id": "b"}]
    assert made["reasoning_details"] == DETAILS
    assert "reasoning" not in made


@pytest.mark.parametrize("name", ["thought_signature", "encrypted_content", "x_anything"])
def test_any_unknown_field_of_a_call_is_kept(name: str):
    kept = WIRES["openai"].metadata_of(completion(tool_calls=[{**CALL, name: "v"}]))
    made = WIRES["openai"].restore_metadata(asked({"role": "assistant", "tool_calls": [CALL]}), kept, {})
    assert made["messages"][1]["tool_calls"][0][name] == "v"


def test_signed_thinking_comes_before_the_call_that_it_led_to():
    kept = WIRES["anthropic"].metadata_of(
        {"content": [THOUGHT, TEXT, use("a"), HIDDEN, use("b", caller={"type": "direct"})]}
    )
    made = WIRES["anthropic"].restore_metadata(
        asked({"role": "assistant", "content": [TEXT, use("a"), use("b")]}), kept, {}
    )
    assert made["messages"][1]["content"] == [THOUGHT, TEXT, use("a"), HIDDEN, use("b", caller={"type": "direct"})]


def test_thinking_without_a_signature_is_nothing_to_give_back():
    assert not WIRES["anthropic"].metadata_of({"content": [{**THOUGHT, "signature": ""}, use("a")]})["a"]


def test_what_the_caller_gives_back_itself_is_not_doubled():
    openai = {"role": "assistant", "content": None, "tool_calls": [{**CALL, "extra_content": SIGNED}]}
    request = asked({**openai, "reasoning_details": DETAILS})
    kept = {"a": ProviderMetadata({"extra_content": SIGNED}, {"reasoning_details": DETAILS})}
    assert WIRES["openai"].restore_metadata(request, kept, {}) is request
    blocks = asked({"role": "assistant", "content": [THOUGHT, TEXT, use("a")]})
    assert WIRES["anthropic"].restore_metadata(blocks, {"a": ProviderMetadata(thinking=[THOUGHT])}, {}) is blocks


def test_another_model_gets_none_of_it():
    kept = {"a": ProviderMetadata({"extra_content": SIGNED}, {"reasoning_details": DETAILS}, [THOUGHT])}
    plain = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    given = {**plain, "tool_calls": [{**CALL, "extra_content": SIGNED}], "reasoning_details": DETAILS}
    assert WIRES["openai"].restore_metadata(asked(given), {}, kept)["messages"][1] == plain
    blocks = {"role": "assistant", "content": [THOUGHT, TEXT, use("a", extra_content=SIGNED)]}
    assert WIRES["anthropic"].restore_metadata(asked(blocks), {}, kept)["messages"][1]["content"] == [TEXT, use("a")]


def test_it_is_kept_as_json_and_read_again():
    kept = ProviderMetadata({"x": [1]}, {"y": "z"}, [THOUGHT])
    assert ProviderMetadata.from_dict(kept.to_dict()) == kept
    assert not ProviderMetadata.from_dict({})
