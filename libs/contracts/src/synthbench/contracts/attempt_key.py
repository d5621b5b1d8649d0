"""What an attempt's key for the llm-gateway says. The scheduler signs it, the gateway checks it."""

from uuid import UUID

from synthbench.contracts.model import Record

AUDIENCE = "llm-gateway"
ALGORITHM = "HS256"
"""JSON Web Token, RFC 7519, signed with the secret that scheduler and gateway share."""


class AttemptClaims(Record):
    """The claims of the token, beside `aud`, `iat` and `exp`."""

    submission_id: UUID
    campaign: str
    rollout_id: UUID
    attempt: int
    route: str
    task_digest: str
    seed: int = 0
    max_cost_microusd: int
    submission_cost_microusd: int
    """Cap over all attempts of the submission."""
    allow_unknown_price: bool = False
    category: str = ""
    """The task's; capability routes choose by it."""
    difficulty: str = ""
