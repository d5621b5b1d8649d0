"""Asking the llm-gateway whether a route can be used, before anything runs on it."""

from datetime import UTC, datetime, timedelta

import httpx
import jwt
from pydantic import SecretStr, ValidationError

from synthbench.contracts.attempt_key import ALGORITHM, PROBE_AUDIENCE, PROBE_PATH, ProbeClaims, ProbeReply
from synthbench.contracts.events import TaskSubmitted

_SECONDS = 15.0
"""More than the gateway takes for its own attempts to reach a provider."""


class Routes:
    """Asks the llm-gateway about routes.

    Args:
        url: of the llm-gateway; None asks nobody, and every route passes.
        secret: what scheduler and llm-gateway share.
    """

    def __init__(self, url: str | None, secret: SecretStr | None) -> None:
        self._url = url.rstrip("/") + PROBE_PATH if url else None
        self._secret = secret
        self._http = httpx.AsyncClient(timeout=_SECONDS, trust_env=False)

    async def problem(self, submitted: TaskSubmitted) -> str:
        """Say why a submission's route cannot be used now, in one line; empty where it can, or where nobody knows.

        A gateway that does not answer keeps no submission back: its attempts wait for it.
        """
        if self._url is None or self._secret is None or not submitted.route:
            return ""
        claims = ProbeClaims(route=submitted.route, allow_unknown_price=submitted.allow_unknown_price)
        now = datetime.now(UTC)
        payload = {**claims.to_dict(), "aud": PROBE_AUDIENCE, "iat": now, "exp": now + timedelta(minutes=1)}
        token = jwt.encode(payload, self._secret.get_secret_value(), ALGORITHM)  # pyright: ignore[reportUnknownMemberType] - PyJWT's own type is incomplete
        try:
            response = await self._http.post(self._url, headers={"authorization": f"Bearer {token}"})
            return ProbeReply.model_validate_json(response.content).problem if response.is_success else ""
        except (httpx.HTTPError, ValidationError):
            return ""

    async def aclose(self) -> None:
        """Close the connections to the llm-gateway."""
        await self._http.aclose()
