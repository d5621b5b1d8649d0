"""The scaffolds that use no model, and the names by which simulated routes are known."""

MODEL_FREE = ("oracle", "nop", "cheat", "wrong")
"""They play the task's own files instead of asking a model; what they make is flagged as simulated."""

SIM_PREFIX = "sim/"


def is_simulated(scaffold: str, route: str) -> bool:
    """Whether a rollout is no work of a real model: never exported unless asked for by name."""
    return scaffold in MODEL_FREE or route.startswith(SIM_PREFIX)


REPLAY_PREFIX = "replay/"
"""Routes that answer from a recording alone: `replay/<route>` as `<route>` did, or the turns of a stored trajectory."""
