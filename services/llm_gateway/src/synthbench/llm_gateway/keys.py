"""Checks of the keys that the scheduler signs for attempts and probes."""

import time
from collections import OrderedDict
from hashlib import sha256

import jwt
from jwt.types import Options
from pydantic import SecretStr, ValidationError

from synthbench.contracts.attempt_key import ALGORITHM, AUDIENCE, PROBE_AUDIENCE, AttemptClaims, ProbeClaims
from synthbench.wire.refusal import Refusal

_REMEMBERED = 10_000
_REQUIRED: Options = {"require": ["exp", "iat", "aud"]}


class AttemptKeys:
    """Checks keys, each of them once.

    An attempt makes many calls with one key, and checking its signature costs as much as the rest of reading a
    request. What was found good is found again by the digest of the whole key, so that what a look-up takes says
    nothing about any good key. Whether the attempt is still open is the ledger's to say, at every call.

    Args:
        secret: what the scheduler signs with.
    """

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret.get_secret_value()
        self._good: OrderedDict[bytes, tuple[float, AttemptClaims]] = OrderedDict()

    def read(self, authorization: str) -> AttemptClaims:
        """Return the claims of an attempt's key.

        Raises:
            Refusal: 401, it is none of ours, or it is out of date.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(401, "invalid_api_key", "send the attempt's key as a bearer token")
        digest = sha256(token.encode()).digest()
        ends_at, claims = self._good.get(digest) or (0.0, None)
        if claims is None or ends_at <= time.time():
            ends_at, claims = self._checked(token)
            self._good[digest] = ends_at, claims
            if len(self._good) > _REMEMBERED:
                self._good.popitem(last=False)
        return claims

    def read_probe(self, authorization: str) -> ProbeClaims:
        """Return the claims of a probe's token.

        Raises:
            Refusal: 401, it is none of ours.
        """
        try:
            token = authorization.removeprefix("Bearer ")
            payload = jwt.decode(token, self._secret, [ALGORITHM], audience=PROBE_AUDIENCE, options=_REQUIRED)  # pyright: ignore[reportUnknownMemberType] - PyJWT's own type is incomplete
            return ProbeClaims.model_validate(payload)
        except (jwt.InvalidTokenError, ValidationError) as error:
            raise Refusal(401, "invalid_api_key", "the key is not one of this deployment's scheduler") from error

    def _checked(self, token: str) -> tuple[float, AttemptClaims]:
        try:
            payload = jwt.decode(token, self._secret, [ALGORITHM], audience=AUDIENCE, options=_REQUIRED)  # pyright: ignore[reportUnknownMemberType] - PyJWT's own type is incomplete
            return float(payload["exp"]), AttemptClaims.model_validate(payload)
        except jwt.ExpiredSignatureError as error:
            raise Refusal(401, "expired_api_key", "the attempt's deadline is over") from error
        except (jwt.InvalidTokenError, ValidationError) as error:
            raise Refusal(401, "invalid_api_key", "the key is not one of this deployment") from error
