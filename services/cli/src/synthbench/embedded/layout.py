"""The six services of an embedded stack, and the environment each is started with. Pure."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from synthbench.contracts.loose import as_object, parse_toml
from synthbench.contracts.registry import DEFAULT_CLIENTS, Service
from synthbench.embedded.children import handed_on
from synthbench.embedded.datadir import DataDir

SERVICES: tuple[Service, ...] = (
    Service.SCHEDULER,
    Service.EXECUTOR,
    Service.LLM_GATEWAY,
    Service.COLLECTOR,
    Service.QUALITY,
    Service.DIVERSITY,
)
NATS_SYNC_SECONDS = 1
"""Interval at which the embedded server syncs to disk, in seconds."""
_DATABASE_USERS = (Service.SCHEDULER, Service.LLM_GATEWAY, Service.COLLECTOR, Service.QUALITY, Service.DIVERSITY)
_KEY_USERS = (Service.SCHEDULER, Service.LLM_GATEWAY)
_PROVIDER_KEY = re.compile(r"^SYNTHBENCH_\w+_API_KEY(_FILE)?$")
_ASKS_MODELS = re.compile(r"^SYNTHBENCH_(UPSTREAM_BASE_URL|MODELS_FILE|\w+_API_KEY(_FILE)?)$")
_SIMULATED_PERMITS = 2
_PERMITS_A_CORE = 8
_BYTES_A_PERMIT = 1 << 30
_MOST_PERMITS = 64
_SET_BY_THE_STACK = ("SYNTHBENCH_API_TOKEN_FILE", "SYNTHBENCH_API_TOKENS_FILE")
"""Files of settings that the stack sets itself: one that cannot be read would end every service."""


@dataclass(frozen=True, order=True)
class Instance:
    """One process of a service; the first one is the one that others are told of."""

    service: Service
    number: int = 1

    def __str__(self) -> str:
        return str(self.service) if self.number == 1 else f"{self.service}-{self.number}"


def instances_of(replicas: int, executors: int | None = None) -> tuple[Instance, ...]:
    """Every service so many times: all of them may have replicas; executors may be another number."""
    counts = dict.fromkeys(SERVICES, replicas) | {Service.EXECUTOR: executors or replicas}
    most = max(counts.values())
    return tuple(
        Instance(service, number) for number in range(1, most + 1) for service in SERVICES if number <= counts[service]
    )


@dataclass(frozen=True)
class Layout:
    """Addresses, folders and settings of one embedded stack."""

    data: DataDir
    nats_url: str
    postgres_dsn: SecretStr
    ports: Mapping[Instance, int]
    pools: Sequence[str]
    """Sandbox engines, preferred first."""
    clients: Sequence[str] = DEFAULT_CLIENTS
    """Names of the clients that may submit."""
    admin_port: int = 0
    """Port of the first llm-gateway's admin API; other replicas take a free one."""
    concurrency: int | None = None
    """Attempts at once in each executor, if it was asked for."""

    def url(self, service: Service, number: int = 1) -> str:
        """Base URL of a service's HTTP side."""
        return f"http://127.0.0.1:{self.ports[Instance(service, number)]}"

    @property
    def artifacts_url(self) -> str:
        """The files store."""
        return artifacts_of(self.data.path)

    def password(self, service: Service) -> SecretStr:
        """Return the password of a service's NATS user."""
        return SecretStr(self.data.secret(f"nats-{service}"))

    def _default_permits(self) -> int:
        models = {"SYNTHBENCH_MODELS_FILE": str(self.data.models_file)} if self.data.models_file.exists() else {}
        return default_permits({**os.environ, **models})

    def environment(self, instance: Instance) -> dict[str, str]:
        """Settings of one process: what the user set, then what this stack dictates; secrets only where needed."""
        service = instance.service
        env = {name: value for name, value in handed_on(os.environ).items() if name not in _SET_BY_THE_STACK}
        if service is not Service.LLM_GATEWAY:
            named = provider_keys(env.get("SYNTHBENCH_MODELS_FILE") or str(self.data.models_file))
            env = {name: value for name, value in env.items() if not _PROVIDER_KEY.match(name) and name not in named}
        env |= {
            "SYNTHBENCH_NATS_URL": self.nats_url,
            "SYNTHBENCH_NATS_USER": str(service),
            "SYNTHBENCH_NATS_PASSWORD": self.password(service).get_secret_value(),
            "SYNTHBENCH_NATS_SYNC_SECONDS": str(NATS_SYNC_SECONDS),
            "SYNTHBENCH_ARTIFACTS_URL": self.artifacts_url,
            "SYNTHBENCH_POOLS": ",".join(self.pools),
            "SYNTHBENCH_HTTP_HOST": "127.0.0.1",
            "SYNTHBENCH_HTTP_PORT": str(self.ports[instance]),
            "SYNTHBENCH_API_TOKEN": self.data.secret("api-token"),
            "SYNTHBENCH_API_TOKENS": "\n".join((env.get("SYNTHBENCH_API_TOKENS", ""), *self.data.token_lines())),
        }
        env["SYNTHBENCH_POSTGRES_DSN"] = (
            self.postgres_dsn.get_secret_value() if service in _DATABASE_USERS else "postgresql://127.0.0.1:1/none"
        )
        env.pop("SYNTHBENCH_ATTEMPT_KEY_SECRET", None)
        if service in _KEY_USERS:
            env["SYNTHBENCH_ATTEMPT_KEY_SECRET"] = self.data.secret("attempt-key")
        permits = str(self.concurrency or env.get("SYNTHBENCH_PERMITS") or self._default_permits())
        if service is Service.SCHEDULER:
            executors = sum(one.service is Service.EXECUTOR for one in self.ports)
            if permits.isdecimal():  # what is no number the executor refuses by its name
                env.setdefault("SYNTHBENCH_READY_LIMIT", str(max(8, 2 * int(permits) * executors)))
            env["SYNTHBENCH_GATEWAY_URL"] = self.url(Service.LLM_GATEWAY)
        if service is Service.LLM_GATEWAY:
            env.setdefault("SYNTHBENCH_MODELS_FILE", str(self.data.models_file))
            env["SYNTHBENCH_ADMIN_PORT"] = str(self.admin_port if instance.number == 1 else 0)
        if service is Service.EXECUTOR:
            env["SYNTHBENCH_PERMITS"] = permits
            env["SYNTHBENCH_ENGINES"] = ",".join(self.pools)
            env["SYNTHBENCH_GATEWAY_URL"] = self.url(Service.LLM_GATEWAY)
            env = executor_folders(self.data.path) | env
        return env


def module_of(service: Service) -> str:
    """The module that runs as the service: `python -m` it."""
    return f"synthbench.{service}"


def client_password(data: DataDir, name: str) -> str:
    """Return the password of a client's NATS user."""
    return data.secret("nats-client" if (name,) == DEFAULT_CLIENTS else f"nats-client-{name}")


def executor_folders(data: Path) -> dict[str, str]:
    """Return the settings of an executor's folders below a data folder, unless the user set others."""
    return {"SYNTHBENCH_SANDBOX_ROOT": str(data / "sandboxes"), "SYNTHBENCH_AGENTS_ROOT": str(data / "agents")}


def artifacts_of(data: Path) -> str:
    """URL of the artifact store of the stack in a data folder."""
    return f"file://{data / 'artifacts'}"


def default_permits(env: Mapping[str, str]) -> int:
    """Attempts at once in an executor, where nobody says how many.

    With a real model an attempt waits for it most of the time, so that many go beside each other: eight a core, within
    the memory of the machine. Simulated models answer at once; then the processor is the bound.
    """
    asks_models = any(_ASKS_MODELS.match(name) and value for name, value in env.items())
    if not asks_models:
        return _SIMULATED_PERMITS
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(
        _SIMULATED_PERMITS, min(_PERMITS_A_CORE * (os.cpu_count() or 1), memory // _BYTES_A_PERMIT, _MOST_PERMITS)
    )


def provider_keys(models_file: str | None) -> set[str]:
    """Environment variables that hold providers' keys, by a models.toml: the llm-gateway's alone.

    A file that cannot be read names none; the gateway says what is wrong with it.
    """
    if not models_file:
        return set()
    try:
        providers = as_object(parse_toml(Path(models_file).read_text("utf-8")).get("providers"))
    except (OSError, ValueError):
        return set()
    names = {str(as_object(spec).get("api_key_env") or "") for spec in providers.values()} - {""}
    return names | {f"{name}_FILE" for name in names}
