"""Settings: environment (`SYNTHBENCH_*`), then `*_FILE` variables, then `synth-bench.toml`, then defaults.

Read once, in a service's bootstrap. Secrets are `SecretStr` and are never printed.
"""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from synthbench.chassis.errors import SettingsError
from synthbench.contracts.loose import parse_toml
from synthbench.contracts.registry import DEFAULT_CLIENTS, check_clients, check_pools, declared_pools

PREFIX = "SYNTHBENCH_"
_CONFIG = f"{PREFIX}CONFIG"
_DEFAULT_FILE = "synth-bench.toml"

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """The settings of every service process. Services add their own fields in a subclass."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    @field_validator("clients")
    @classmethod
    def _names(cls, value: str) -> str:
        names = check_clients(part.strip() for part in value.split(",") if part.strip())
        if not names:
            raise ValueError("name at least one client")
        return ",".join(names)

    @property
    def client_names(self) -> tuple[str, ...]:
        """The same, one by one."""
        return tuple(self.clients.split(","))

    @field_validator("pools")
    @classmethod
    def _pools(cls, value: str) -> str:
        return ",".join(check_pools(part.strip() for part in value.split(",") if part.strip()))

    @property
    def pool_names(self) -> tuple[str, ...]:
        """The pools that executors serve, preferred first."""
        return tuple(self.pools.split(",")) if self.pools else ()

    @property
    def declared_pools(self) -> tuple[str, ...]:
        """Every pool that has subjects and durables: those of our own engines, and those that executors serve."""
        return declared_pools(self.pool_names)

    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password: SecretStr = SecretStr("")
    clients: str = ",".join(DEFAULT_CLIENTS)
    """Names of those who may submit, comma-separated: each has an account on the bus, and what it sends its name."""
    pools: str = "bubblewrap"
    """Sandbox engines that executors of this deployment serve, preferred first, comma-separated; each has a pool."""
    nats_sync_seconds: float = Field(default=120.0, ge=0)
    """The server's `sync_interval`: what it acknowledged within twice that before it was lost is published again."""
    postgres_dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/synthbench")
    artifacts_url: str = "file:///var/lib/synth-bench/artifacts"
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=0, ge=0, le=65535)
    """0 picks a free one."""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP receiver, such as http://127.0.0.1:4318; without it nothing is traced."""
    attempt_key_secret: SecretStr | None = None
    """Signs the keys of attempts; shared by scheduler and llm-gateway alone."""
    api_token: SecretStr | None = None
    """If set, every HTTP API asks for a bearer token; this one is an admin's."""
    api_tokens: SecretStr | None = None
    """Further tokens: lines `name:role:sha256`, with a role of viewer, reviewer, operator, admin."""
    api_requests_a_second: float = Field(default=200.0, gt=0)
    """Of one caller, in the long run; twice that at once."""
    drain_seconds: float = Field(default=20.0, gt=0)
    """How long running handlers may take to finish after SIGTERM."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - we read no .env file
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - *_FILE variables instead
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources of settings: the first one that has a value wins."""
        return init_settings, env_settings, FileVariables(settings_cls), TomlFile(settings_cls)


class FileVariables(PydanticBaseSettingsSource):
    """`SYNTHBENCH_POSTGRES_DSN_FILE=/run/secrets/dsn`: the value is what the file holds."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic-settings' signature
        """Read one field's file."""
        variable = f"{PREFIX}{field_name.upper()}_FILE"
        path = os.environ.get(variable)
        if path is None:
            return None, field_name, False
        try:
            return Path(path).read_text("utf-8").strip(), field_name, False
        except OSError as error:
            raise SettingsError(f"{variable}: cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError:  # its text would show the content
            raise SettingsError(f"{variable}: cannot read {path}: it is no UTF-8 text") from None

    def __call__(self) -> dict[str, Any]:
        """All fields that have a file."""
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class TomlFile(PydanticBaseSettingsSource):
    """`synth-bench.toml` in the working folder, or the file that SYNTHBENCH_CONFIG names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic-settings' signature
        """One field of the file."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The fields of the file that this service knows."""
        content = read_toml()
        return {name: content[name] for name in self.settings_cls.model_fields if name in content}


def config_file() -> Path:
    """Return the path of the TOML file, whether it exists or not."""
    return Path(os.environ.get(_CONFIG, _DEFAULT_FILE))


def read_toml() -> dict[str, Any]:
    """Read the TOML file; empty where there is none.

    Raises:
        SettingsError: it cannot be read or parsed, or SYNTHBENCH_CONFIG names a file that is not there.
    """
    path = config_file()
    try:
        return parse_toml(path.read_text("utf-8"))
    except FileNotFoundError:
        if _CONFIG in os.environ:
            raise SettingsError(f"{_CONFIG}: there is no file {path}") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def load_settings(cls: type[S]) -> S:
    """Read the settings of a service.

    Raises:
        SettingsError: one line for each value that does not fit, with its source; values are not repeated.
    """
    try:
        return cls()
    except ValidationError as error:
        lines = [f"{_source(str(item['loc'][0]))}: {item['msg']}" for item in error.errors(include_url=False)]
        raise SettingsError("; ".join(lines)) from error


class SettingOrigin(NamedTuple):
    """One row of `synth-bench config show`."""

    name: str
    value: str
    source: str


def explain_settings(settings: Settings) -> Iterator[SettingOrigin]:
    """Yield each setting, its value (secrets as stars) and where it came from."""
    for name in sorted(type(settings).model_fields):
        value = getattr(settings, name)
        yield SettingOrigin(name, str(value), _source(name))


def _source(name: str) -> str:
    variable = PREFIX + name.upper()
    if variable in os.environ:
        return f"environment {variable}"
    if f"{variable}_FILE" in os.environ:
        return f"file named by {variable}_FILE"
    return str(config_file()) if name in read_toml() else "default"
