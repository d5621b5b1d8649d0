"""Settings of the llm-gateway."""

from pathlib import Path

from pydantic import Field, SecretStr

from synthbench.chassis.settings import Settings


class GatewaySettings(Settings):
    """Beside the common ones."""

    upstream_base_url: str | None = None
    """Of an OpenAI-compatible API, such as https://api.openai.com/v1; every route but sim/* and replay/* goes there."""
    upstream_api_key: SecretStr | None = None
    """The provider's key. This process alone has it."""
    upstream_timeout_seconds: float = Field(default=600.0, gt=0)
    prices_file: Path | None = None
    """TOML: `["model-name"]` tables with `input` and `output`, US dollars for a million tokens. It wins."""
    replay_folder: Path | None = None
    """Folder of recorded trajectories: route `replay/<name>` answers from `<name>.json`."""
    sim_latency_ms: float = Field(default=0.0, ge=0)
    """Added to each answer of `sim/*`."""
    max_body_mb: int = Field(default=32, ge=1)
    day_budget_usd: float | None = Field(default=None, ge=0)
    """What all calls of a day (UTC) may cost together; every replica must be told the same. Without it, no limit."""
    month_budget_usd: float | None = Field(default=None, ge=0)
    """The same of a month."""
