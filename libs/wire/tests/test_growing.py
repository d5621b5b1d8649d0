"""What grows in a stream grows in the record: nothing that comes in parts is overwritten, nothing unknown is lost."""

import json

import pytest

from synthbench.wire.sse import DONE, event
from synthbench.wire.whole_answers import whole_of

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def completion(*chunks: dict) -> dict:
    return whole_of("openai", b"".join(event({**HEAD, **chunk}) for chunk in chunks) + event(DONE))


def choice(*pieces: dict) -> dict:
    """The only choice of a stream of these pieces of it."""
    return completion(*({"choices": [{"index": 0, **one}]} for one in pieces))["choices"][0]


@pytest.mark.parametrize("name", ["token_ids", "x_unknown_list"])
def test_lists_beside_the_delta_grow_also_by_equal_parts(name: str):
    parts = [[1, 2], [3], [3], None, [4]]
    made = choice(*({"delta": {"content": "a"}, name: part} for part in parts), {"delta": {}, "finish_reason": "stop"})
    assert made[name] == [1, 2, 3, 3, 4]


def test_lists_beside_the_choices_grow():
    chunks = [{"choices": [], "prompt_token_ids": part} for part in ([1], [1], [2, 3])]
    assert completion(*chunks)["prompt_token_ids"] == [1, 1, 2, 3]


def test_a_list_that_is_repeated_from_the_beginning_is_not_doubled():
    chunks = [{"choices": [], "citations": part} for part in (["a"], ["a", "b"], ["a", "b"])]
    assert completion(*chunks)["citations"] == ["a", "b"]


def test_logprobs_grow_of_content_and_of_refusal():
    pieces = [{"delta": {}, "logprobs": {"content": [{"token": t}], "refusal": None}} for t in "ab"]
    pieces.append({"delta": {}, "logprobs": {"content": None, "refusal": [{"token": "no"}]}})
    assert choice(*pieces)["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": [{"token": "no"}]}


def test_reasoning_details_grow_by_index_and_keep_their_signature_and_their_encrypted_part():
    details = [
        {"type": "reasoning.text", "text": "I ", "index": 0, "id": None},
        {"type": "reasoning.text", "text": "see", "index": 0},
        {"type": "reasoning.text", "signature": "c2ln", "index": 0},
        {"type": "reasoning.encrypted", "data": "abc", "id": "r1", "index": 0},
        {"type": "reasoning.encrypted", "data": "def", "id": "r2", "index": 0},
        {"type": "reasoning.text", "text": "and", "index": 1},
    ]
    made = choice(*({"delta": {"reasoning_details": [one]}} for one in details))["message"]["reasoning_details"]
    assert made == [
        {"type": "reasoning.text", "text": "I see", "index": 0, "id": None, "signature": "c2ln"},
        {"type": "reasoning.encrypted", "data": "abc", "id": "r1", "index": 0},
        {"type": "reasoning.encrypted", "data": "def", "id": "r2", "index": 0},
        {"type": "reasoning.text", "text": "and", "index": 1},
    ]


def test_reasoning_details_without_an_index_are_all_kept():
    made = choice(*({"delta": {"reasoning_details": [{"text": t}]}} for t in "ab"))["message"]
    assert made["reasoning_details"] == [{"text": "a"}, {"text": "b"}]


def test_what_is_unknown_is_kept_wherever_it_stands():
    made = completion(
        {
            "x_top": {"a": 1},
            "choices": [{"index": 0, "x_choice": "q", "delta": {"content": "a", "x_delta": {"k": [1]}}}],
        },
        {"x_top": {"b": 2}, "choices": [{"index": 0, "delta": {"content": "a", "x_delta": {"k": [2], "t": "u"}}}]},
        {"choices": [{"index": 0, "x_choice": "q", "delta": {"x_text": "mn"}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "delta": {"x_text": "o"}}]},
    )
    assert made["x_top"] == {"a": 1, "b": 2}
    assert made["choices"][0]["x_choice"] == "q"
    message = made["choices"][0]["message"]
    assert (message["content"], message["x_delta"], message["x_text"]) == ("aa", {"k": [1, 2], "t": "u"}, "mno")


def test_audio_and_an_old_function_call_grow():
    made = choice(
        {"delta": {"audio": {"id": "au", "data": "AA", "transcript": "Hi"}}},
        {"delta": {"audio": {"id": "au", "data": "AA", "transcript": " you"}}},
        {"delta": {"function_call": {"name": "f", "arguments": "{"}}},
        {"delta": {"function_call": {"arguments": "}"}}},
    )["message"]
    assert made["audio"] == {"id": "au", "data": "AAAA", "transcript": "Hi you"}
    assert made["function_call"] == {"name": "f", "arguments": "{}"}


def test_a_usage_in_parts_is_one_usage():
    made = completion(
        {"choices": [], "usage": {"prompt_tokens": 5}}, {"choices": [], "usage": {"completion_tokens": 7}}
    )
    assert made["usage"] == {"prompt_tokens": 5, "completion_tokens": 7}


def test_choices_grow_apart():
    chunks = [
        {"choices": [{"index": i, "delta": {"content": t}, "token_ids": [i]}]}
        for i, t in ((1, "b"), (0, "a"), (1, "B"))
    ]
    first, second = completion(*chunks)["choices"]
    assert (first["message"]["content"], first["token_ids"]) == ("a", [0])
    assert (second["message"]["content"], second["token_ids"]) == ("bB", [1, 1])


def test_a_whole_message_at_the_end_of_a_stream_is_taken():
    assert choice({"message": {"role": "assistant", "content": "All."}})["message"]["content"] == "All."


def message(*events: dict) -> dict:
    start = {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1}}}
    return whole_of("anthropic", b"".join(event(one, str(one["type"])) for one in (start, *events)))


def block(number: int, content: dict, *deltas: dict) -> list[dict]:
    begin = {"type": "content_block_start", "index": number, "content_block": content}
    pieces = [{"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas]
    return [begin, *pieces, {"type": "content_block_stop", "index": number}]


def test_unknown_pieces_of_a_block_and_of_a_message_are_kept():
    made = message(
        *block(0, {"type": "compaction", "content": ""}, *({"type": "compaction_delta", "content": t} for t in "ab")),
        *block(1, {"type": "text", "text": ""}, *({"type": "x_delta", "token_ids": [n]} for n in (1, 2))),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "x_more": 1}, "context_management": {"y": 2},
         "usage": {"output_tokens": 2}},
    )  # fmt: skip
    assert made["content"][0] == {"type": "compaction", "content": "ab"}
    assert made["content"][1] == {"type": "text", "text": "", "token_ids": [1, 2]}
    assert (made["x_more"], made["context_management"], made["stop_reason"]) == (1, {"y": 2}, "end_turn")
    assert made["usage"] == {"input_tokens": 1, "output_tokens": 2}


def test_two_blocks_of_one_index_stay_two():
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    arguments = [{"type": "input_json_delta", "partial_json": json.dumps({"n": n})} for n in (1, 2)]
    made = message(*block(0, call, arguments[0]), *block(0, {**call, "id": "b"}, arguments[1]))
    assert [(one["id"], one["input"]) for one in made["content"]] == [("a", {"n": 1}), ("b", {"n": 2})]


def test_a_call_that_broke_off_keeps_the_text_of_its_input():
    made = message(*block(0, {"type": "tool_use", "input": {}}, {"type": "input_json_delta", "partial_json": '{"a'}))
    assert made["content"][0]["input"] == '{"a'


def test_a_piece_of_a_block_that_never_began_is_no_message():
    with pytest.raises(ValueError, match="never began"):
        message({"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "x"}})
