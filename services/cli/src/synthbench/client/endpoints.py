"""The addresses of a stack, from the environment (compose, Kubernetes) or from the running embedded stack."""

import json
from pathlib import Path

from pydantic import SecretStr

from synthbench.contracts.model import Record


class Endpoints(Record):
    """Addresses and credentials with which a client talks to a stack."""

    nats_url: str
    nats_user: str = ""
    nats_password: SecretStr = SecretStr("")
    scheduler_url: str
    collector_url: str
    gateway_admin_url: str = ""
    artifacts_url: str
    api_token: SecretStr | None = None
    elsewhere: bool = False
    """Whether the environment names this stack (compose, Kubernetes), and not the data folder."""

    def save(self, path: Path) -> None:
        """Write the file by which other commands find the stack; only its owner can read it."""
        content = {
            **self.model_dump(mode="json"),
            "nats_password": self.nats_password.get_secret_value(),
            "api_token": self.api_token.get_secret_value() if self.api_token else None,
        }
        temporary = path.with_suffix(".tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(content))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Endpoints | None":
        """Read what `save` wrote; None where there is none."""
        try:
            return cls.model_validate_json(path.read_text())
        except FileNotFoundError:
            return None
