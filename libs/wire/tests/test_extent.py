"""Whatever multiplies the work of a request is counted, or refused by its name."""

import json

import pytest

from synthbench.wire.extent import extent_of
from synthbench.wire.refusal import Refusal
from synthbench.wire.wires import WIRES

HELLO = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        ({"n": 128}, 128 * 1000),
        ({"n": 128, "max_tokens": 4096}, 128 * 4096),
        ({"best_of": 7, "n": 2, "max_tokens": 10}, 70),
        ({"candidate_count": 3, "max_completion_tokens": 10}, 30),
        ({"num_return_sequences": 3, "max_new_tokens": 10}, 30),
        ({"max_tokens": 5, "max_completion_tokens": 500}, 500),
        ({"max_tokens": 500, "max_completion_tokens": 5}, 500),
        ({"max_tokens": None, "n": None}, 1000),
        ({"max_tokens": 100, "thinking": {"type": "enabled", "budget_tokens": 9000}}, 9000),
        ({"max_tokens": 100, "reasoning": {"max_tokens": 9000}}, 9000),
        ({"n": 2, "max_tokens": 10, "prediction": {"type": "content", "content": "x" * 50}}, 2 * 60),
    ],
)
def test_every_multiplier_is_in_the_tokens_of_all_answers(request_: dict, tokens: int):
    assert extent_of(request_).output_tokens(1000) == tokens


@pytest.mark.parametrize("name", ["n", "best_of", "candidate_count", "max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", ["128", 128.0, True, 0, -1, [2], {"a": 1}])
def test_a_figure_that_is_none_is_refused_by_its_name(name: str, value: object):
    with pytest.raises(Refusal, match=f"^{name}: ") as refused:
        extent_of({name: value})
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")


def part(**fields: object) -> dict:
    return {"messages": [{"role": "user", "content": [fields]}]}


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy"}}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"speed": "fast"}, "speed"),
        (part(type="document", source={"type": "url", "url": "https://a/b"}), "document"),
        (part(type="file", file={"file_id": "f"}), "file"),
        (part(type="video_url", video_url={"url": "https://a/b"}), "video_url"),
    ],
)  # fmt: skip
def test_what_has_a_price_that_nobody_counts_is_refused_by_its_name(asked: dict, name: str):
    with pytest.raises(Refusal, match=f"{name}.*could not be capped"):
        extent_of(asked)


@pytest.mark.parametrize("value", ["auto", "default", "flex", None])
def test_what_costs_no_more_passes(value: str | None):
    assert extent_of({"service_tier": value, "modalities": ["text"]}).answers == 1


def test_marks_for_the_cache_are_found_wherever_they_stand():
    def marked(**mark: str) -> dict:
        return {"messages": [{"role": "user", "content": [{"type": "text", "cache_control": {"type": "e", **mark}}]}]}

    assert extent_of(marked()).cache_seconds == 300
    assert extent_of(marked(ttl="1h")).cache_seconds == 3600
    assert extent_of({"tools": [{"cache_control": {"ttl": "1h"}}], **marked()}).cache_seconds == 3600
    assert extent_of({"messages": [{"role": "user", "content": "cache_control"}]}).cache_seconds == 0


@pytest.mark.parametrize("wire", WIRES)
def test_both_wires_refuse_them_when_a_request_is_read(wire: str):
    for more in ({"n": 129}, {"n": "2"}, {"service_tier": "priority"}):
        with pytest.raises(Refusal):
            WIRES[wire].read(json.dumps({"messages": [HELLO], "max_tokens": 5, **more}).encode())


def test_sound_and_documents_that_are_sent_along_count_by_their_size():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "wav"}}
    body = json.dumps({"messages": [{"role": "user", "content": [image, sound]}]}).encode()
    assert WIRES["openai"].read(body).input_tokens > 10_000
    source = {"type": "base64", "media_type": "application/pdf", "data": "A" * 40_000}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 40_000}}
    content = [picture, {"type": "document", "source": source}]
    body = json.dumps({"max_tokens": 5, "messages": [{"role": "user", "content": content}]}).encode()
    assert 10_000 < WIRES["anthropic"].read(body).input_tokens < 15_000
