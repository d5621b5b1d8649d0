"""What an attempt's key for the llm-gateway says. The scheduler signs it, the gateway checks it."""

from uuid import UUID

from synthbench.contracts.model import Record
from synthbench.contracts.sampling import Sampling

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
    sampling: Sampling = Sampling()
    """For what a request of the attempt does not say itself."""
    category: str = ""
    difficulty: str = ""
    """Of the task: what capability routes choose by, and what costs are added up by."""
    campaign_cost_microusd: int | None = None
    """Cap over everything that the campaign spends; None for no cap."""
    campaign_epoch: int = 0
    """Grows whenever the campaign's cap is set anew: the ledger takes the cap of the greatest epoch that it saw."""
