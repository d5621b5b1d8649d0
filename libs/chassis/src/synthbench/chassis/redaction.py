"""Removes secrets from text, for logs, messages to people and stored records."""

import re

from pydantic import SecretStr

_URL_CREDENTIALS = re.compile(r"(\w://[^\s:/@]*:)[^\s@/]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
STARS = "**********"
"""Stands where a secret was."""
_secrets: set[str] = set()


def redact(*values: SecretStr | str | None) -> None:
    """Register values that must never appear in a log, whatever the key."""
    for value in values:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and len(text) >= 6:  # shorter ones would blot out ordinary words
            _secrets.add(text)


def without_secrets(data: bytes) -> bytes:
    """Return bytes that are kept for long, without registered secrets; all else stays as it is."""
    for secret in _secrets:
        data = data.replace(secret.encode(), STARS.encode())
    return data


def redacted(text: str) -> str:
    """Return the text without registered secrets, URL passwords and authorization headers."""
    for secret in _secrets:
        text = text.replace(secret, STARS)
    return _BEARER.sub(rf"\1 {STARS}", _URL_CREDENTIALS.sub(rf"\1{STARS}@", text))
