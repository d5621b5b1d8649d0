"""Options of a command for the stack that it starts or finds running. Pure, but for the environment."""

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from synthbench.client.errors import CliError
from synthbench.contracts.model import Record

BASE_URL = "SYNTHBENCH_UPSTREAM_BASE_URL"
API_KEY = "SYNTHBENCH_UPSTREAM_API_KEY"


class StackOptions(Record):
    """Options of a command for a stack; None takes whatever the stack has."""

    sandbox: str | None = None
    """The sandbox engine."""
    replicas: int | None = Field(default=None, ge=1)
    """Processes of each service."""
    executors: int | None = Field(default=None, ge=1)
    """Processes of the executor; by default as many as of the other services."""
    concurrency: int | None = Field(default=None, ge=1)
    """Attempts at once in each executor."""
    base_url: str | None = None
    """URL of the provider that --base-url or SYNTHBENCH_UPSTREAM_BASE_URL names."""
    api_key_env: str | None = None
    """The variable that --api-key-env names; its value is in SYNTHBENCH_UPSTREAM_API_KEY by then."""

    def arguments(self) -> list[str]:
        """Return the options as arguments of the supervisor."""
        given = {name: getattr(self, name) for name in ("sandbox", "replicas", "executors", "concurrency")}
        return [part for name, value in given.items() if value is not None for part in (f"--{name}", str(value))]

    def refuse_elsewhere(self) -> None:
        """Refuse what a stack that the environment names cannot be told from here.

        Raises:
            CliError: names the option and the cure.
        """
        if self.base_url or self.api_key_env:
            option = "--base-url" if self.base_url else "--api-key-env"
            raise CliError(
                f"{option} has no effect on the stack that SYNTHBENCH_NATS_URL names; "
                f"set {BASE_URL} and {API_KEY} of its llm-gateway",
                exit_code=2,
            )


def fingerprint(secret: str, value: str | None) -> str:
    """Return a digest that tells two keys apart and gives neither away; empty for none."""
    return hmac.new(secret.encode(), value.encode(), hashlib.sha256).hexdigest() if value else ""


def started_with(options: StackOptions, secret: str) -> dict[str, Any]:
    """Return the options of a stack as its status file keeps them, for commands that come later."""
    replicas = options.replicas or 1
    return {
        "replicas": replicas,
        "executors": options.executors or replicas,
        "concurrency": options.concurrency,
        "upstream": os.environ.get(BASE_URL),
        "upstream_key": fingerprint(secret, os.environ.get(API_KEY)),
    }


def mismatch(running: Mapping[str, Any], pools: Sequence[str], wanted: StackOptions, secret: str) -> str:
    """Say what of a command's wishes the running stack cannot fulfil; empty if nothing.

    Args:
        running: what `started_with` made of it.
        pools: its sandbox engines.
        wanted: of the command.
        secret: of the data folder, for fingerprints.
    """
    if wanted.sandbox and wanted.sandbox not in pools:
        return f"has the sandbox engine {', '.join(pools)}, not {wanted.sandbox}"
    for name, what in (("replicas", "replicas of each service"), ("executors", "executors")):
        value = getattr(wanted, name)
        if value is not None and value != running.get(name):
            return f"has {running.get(name)} {what}, not the {value} of --{name}"
    if wanted.concurrency is not None and wanted.concurrency != running.get("concurrency"):
        there = running.get("concurrency") or "the default number of"
        return f"has {there} attempts at once in each executor, not the {wanted.concurrency} of --concurrency"
    if wanted.base_url and wanted.base_url != running.get("upstream"):
        return f"asks for models at {running.get('upstream') or 'no upstream'}, not at {wanted.base_url}"
    if wanted.api_key_env and fingerprint(secret, os.environ.get(API_KEY)) != running.get("upstream_key"):
        has = "another key" if running.get("upstream_key") else "no key"
        return f"has {has} for its models than the one in {wanted.api_key_env}"
    return ""
