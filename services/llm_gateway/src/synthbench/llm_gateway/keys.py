"""Checking the key of an attempt."""

import jwt
from pydantic import SecretStr, ValidationError

from synthbench.contracts.attempt_key import ALGORITHM, AUDIENCE, AttemptClaims
from synthbench.llm_gateway.domain.refusal import Refusal


def read_key(authorization: str, secret: SecretStr) -> AttemptClaims:
    """Return what the key says.

    Raises:
        Refusal: 401, it is none of ours, or it is out of date.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(401, "invalid_api_key", "send the attempt's key as a bearer token")
    try:
        payload = jwt.decode(
            token, secret.get_secret_value(), [ALGORITHM], audience=AUDIENCE, options={"require": ["exp", "iat", "aud"]}
        )
        return AttemptClaims.model_validate(payload)
    except jwt.ExpiredSignatureError as error:
        raise Refusal(401, "expired_api_key", "the attempt's deadline is over") from error
    except (jwt.InvalidTokenError, ValidationError) as error:
        raise Refusal(401, "invalid_api_key", "the key is not one of this deployment") from error
