"""Settings of the llm-gateway."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from synthbench.chassis.settings import Settings


class GatewaySettings(Settings):
    """Settings of the llm-gateway, beside the common ones."""

    upstream_base_url: str | None = None
    """Of an OpenAI-compatible API, such as https://api.openai.com/v1; every model that names no other provider goes
    there."""
    upstream_api_key: SecretStr | None = None
    """The provider's key. This process alone has it, and those below."""
    openai_api_key: SecretStr | None = None
    """Makes models `openai/<name>`."""
    anthropic_api_key: SecretStr | None = None
    """Makes models `anthropic/<name>`."""
    openrouter_api_key: SecretStr | None = None
    """Makes models `openrouter/<vendor>/<name>`."""
    google_api_key: SecretStr | None = None
    """Makes models `google/<name>`, by Google's OpenAI-compatible endpoint."""
    models_file: Path | None = None
    """`models.toml`: providers, models with limits and prices, routes. Read again when it changes, and on SIGHUP."""
    upstream_timeout_seconds: float = Field(default=600.0, gt=0)
    """For a whole call with its retries; a caller may ask for less by `x-synthbench-deadline-seconds`."""
    upstream_idle_seconds: float = Field(default=120.0, gt=0)
    """A stream that is silent for so long is given up."""
    upstream_tries: int = Field(default=3, ge=1)
    """Of one model, for one call."""
    upstream_connections: int = Field(default=512, ge=1)
    max_inflight: int = Field(default=1024, ge=1)
    """Calls at once in this process; more are told to come again."""
    max_answer_mb: int = Field(default=64, ge=1)
    """Of an answer, or of one event of a stream."""
    recording: Literal["off", "on", "read-only", "write-only"] = "off"
    """What is done with answers of models: `on` answers from recordings, and asks and records what is missing;
    `read-only` answers from recordings alone, and needs no keys; `write-only` always asks, and records."""
    recordings_url: str | None = None
    """An artifact store for recordings, such as file:///absolute/folder; the deployment's own by default."""
    replay_folder: Path | None = None
    """Folder of stored trajectories: route `replay/<name>` answers from `<name>.json`, turn by turn."""
    sim_latency_ms: float = Field(default=0.0, ge=0)
    """Added to each answer of `sim/*`."""
    max_body_mb: int = Field(default=32, ge=1)
    day_budget_usd: float | None = Field(default=None, ge=0)
    """What all calls of a day (UTC) may cost together; every replica must be told the same. Without it, no limit."""
    month_budget_usd: float | None = Field(default=None, ge=0)
    """The same of a month."""
    ledger_lease_seconds: float = Field(default=30.0, ge=1)
    """A replica that is silent for so long is taken for dead: what it held counts as spent."""
    admin_port: int = Field(default=0, ge=0, le=65535)
    """Of the admin API (costs, budgets); 0 picks a free one."""
