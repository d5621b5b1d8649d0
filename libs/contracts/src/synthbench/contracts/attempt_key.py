"""The claims in an attempt's key for the llm-gateway. The scheduler signs it, the gateway checks it."""

from uuid import UUID

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import Count, Integer, SmallCount
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.scope import AttemptScope
from synthbench.contracts.text import Line, Name

AUDIENCE = "llm-gateway"
ALGORITHM = "HS256"
"""JSON Web Token, RFC 7519, signed with the secret that scheduler and gateway share."""


PROBE_AUDIENCE = "llm-gateway-probe"
"""Of the token by which the scheduler asks whether a route can be used; it is worth nothing for a call."""
PROBE_PATH = "/v1/routes/probe"


class ProbeClaims(Record):
    """The question about a route that the scheduler asks the llm-gateway before it accepts a submission."""

    route: Name
    allow_unknown_price: bool = False


class ProbeReply(Record):
    """Whether a route can be used now."""

    problem: Line = ""
    """One line: why not, and what mends it; empty where it can."""


class AttemptClaims(Record):
    """The claims of the token, beside `aud`, `iat` and `exp`."""

    submission_id: UUID
    campaign: Name
    rollout_id: UUID
    attempt: SmallCount
    route: Name
    task_digest: Name
    seed: Integer = 0
    max_cost_microusd: Count
    submission_cost_microusd: Count
    """Cap over all attempts of the submission."""
    allow_unknown_price: bool = False
    sampling: Sampling = Sampling()
    """For what a request of the attempt does not say itself."""
    category: Name = ""
    difficulty: Name = ""
    """Of the task: what capability routes choose by, and what costs are added up by."""
    campaign_cost_microusd: Count | None = None
    """Cap over everything that the campaign spends; None for no cap."""
    campaign_epoch: Count = 0
    """Grows whenever the campaign's cap is set anew: the ledger takes the cap of the greatest epoch that it saw."""

    @property
    def attempt_scope(self) -> AttemptScope:
        """The attempt whose key it is."""
        return AttemptScope(self.submission_id, self.campaign, self.rollout_id, self.attempt)
