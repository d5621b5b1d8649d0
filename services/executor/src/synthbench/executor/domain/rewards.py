"""Rewards that a foreign package's tests wrote. Source: Harbor's verifier, reward.json and reward.txt."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOTAL = "reward"
"""The key that stands for all, where there is one."""


class RewardUnreadable(Exception):
    """There is no reward, which is not a reward of zero."""


@dataclass(frozen=True)
class Reward:
    """The reward that a verifier wrote.

    Attributes:
        total: one number: the key `reward`, else the mean of all.
        parts: each number by its name.
    """

    total: float
    parts: Mapping[str, float]


def read_reward(as_json: bytes | None, as_text: bytes | None) -> Reward:
    """Read the reward of a verifier; the JSON wins where there are both.

    Args:
        as_json: a flat object of finite numbers.
        as_text: one finite number.

    Raises:
        RewardUnreadable: neither is there, or it is empty or no such thing.
    """
    if as_json is not None:
        return _from_json(as_json)
    if as_text is None:
        raise RewardUnreadable("the tests wrote neither reward.json nor reward.txt")
    try:
        total = _finite(float(as_text.decode()), "reward.txt")
    except ValueError as error:
        raise RewardUnreadable(f"reward.txt holds no number: {as_text[:60]!r}") from error
    return Reward(total, {TOTAL: total})


def _from_json(data: bytes) -> Reward:
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RewardUnreadable(f"reward.json is no JSON ({error})") from error
    if not isinstance(found, dict) or not found:
        raise RewardUnreadable("reward.json is no object with numbers in it")
    parts = {str(name): _finite(value, f"reward.json: {name}") for name, value in found.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    return Reward(parts.get(TOTAL, math.fsum(parts.values()) / len(parts)), parts)


def _finite(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RewardUnreadable(f"{where} is no number")
    number = float(value) if abs(value) < 1e300 else math.inf
    if not math.isfinite(number):
        raise RewardUnreadable(f"{where} is not finite")
    return number
