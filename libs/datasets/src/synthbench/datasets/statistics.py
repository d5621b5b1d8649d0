"""Shares and means with their 95 % intervals, and pass@k. Pure."""

import math
import random
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, fmean

CONFIDENCE = 0.95
_RESAMPLES = 2000


def wilson(successes: int, trials: int) -> dict[str, float] | None:
    """A share and its score interval. Source: E. B. Wilson, JASA 22 (1927)."""
    if trials == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return {"mean": share, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}


def mean(values: Sequence[float]) -> dict[str, float] | None:
    """A mean and its percentile bootstrap interval, the same for the same values. Source: Efron, Tibshirani (1993)."""
    if not values:
        return None
    chance = random.Random(0)  # noqa: S311 - statistics
    means = sorted(fmean(chance.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    tail = (1 - CONFIDENCE) / 2
    low, high = means[math.floor(tail * _RESAMPLES)], means[math.ceil((1 - tail) * _RESAMPLES) - 1]
    return {"mean": fmean(values), "low": low, "high": high}


@cache
def pass_at_k(trials: int, successes: int, k: int) -> float | None:
    """The chance that one of k samples of a task succeeds, without bias; None with fewer than k.

    Source: Chen et al., Evaluating Large Language Models Trained on Code (2021), equation 1.
    """
    if not 0 < k <= trials or not 0 <= successes <= trials:
        return None
    return 1.0 - math.comb(trials - successes, k) / math.comb(trials, k)
