"""What counts as a reward, and what as none."""

import pytest

from synthbench.executor.domain.rewards import RewardUnreadable, read_reward


@pytest.mark.parametrize(
    ("as_json", "as_text", "total", "parts"),
    [
        (None, b"1\n", 1.0, {"reward": 1.0}),
        (None, b" -0.5 ", -0.5, {"reward": -0.5}),
        (b'{"reward": 0.25, "style": 1}', b"1", 0.25, {"reward": 0.25, "style": 1.0}),
        (b'{"speed": 1, "style": 0.5}', None, 0.75, {"speed": 1.0, "style": 0.5}),
    ],
)
def test_numbers_are_read(as_json: bytes | None, as_text: bytes | None, total: float, parts: dict[str, float]):
    reward = read_reward(as_json, as_text)
    assert (reward.total, reward.parts) == (total, parts)


@pytest.mark.parametrize(
    ("as_json", "as_text"),
    [
        (None, None),
        (None, b""),
        (None, b"nan"),
        (None, b"inf"),
        (None, b"\xff"),
        (None, b"1 2"),
        (b"", b"1"),
        (b"{}", b"1"),
        (b"1", b"1"),
        (b"[1]", b"1"),
        (b'{"reward": "1"}', b"1"),
        (b'{"reward": true}', b"1"),
        (b'{"reward": NaN}', b"1"),
        (b'{"reward": 1e309}', b"1"),
        (b'{"reward": {"a": 1}}', b"1"),
        (b'{"reward": 1' + b"0" * 400 + b"}", b"1"),
        (b"[" * 100_000, b"1"),
    ],
)
def test_anything_else_is_no_reward_of_zero(as_json: bytes | None, as_text: bytes | None):
    with pytest.raises(RewardUnreadable):
        read_reward(as_json, as_text)
