"""The catalogue of a running gateway: `models.toml`, read again when it changes, and the providers that it names."""

import asyncio
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import SettingsError, one_line
from synthbench.chassis.redaction import redact
from synthbench.contracts.loose import parse_toml
from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.llm_gateway import metrics
from synthbench.llm_gateway.domain.catalogue import CatalogueError, Model, ModelCatalogue, ProviderSpec, read_catalogue
from synthbench.llm_gateway.providers import provider_kinds
from synthbench.llm_gateway.providers.replay import ReplayProvider
from synthbench.llm_gateway.rate_limits.domain.permits import Limit, limits_of
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.storage.artifacts import ArtifactStore
from synthbench.wire.providers import Provider, ProviderConfig
from synthbench.wire.refusal import Refusal

UPSTREAM = "upstream"
"""The provider of every model that names no other."""
WATCH_SECONDS = 1.0
PROBE_SECONDS = 30.0
_LOCAL = ("sim", "replay")
"""Providers without a server, made by the settings; their models keep their whole name."""
_OFFERED = ("openai", "anthropic", "openrouter", "google")


class Models:
    """The catalogue of a running gateway, and the providers that it names."""

    def __init__(self, settings: GatewaySettings, store: ArtifactStore, log: BoundLogger) -> None:
        self._settings = settings
        self._store = store
        self._log = log
        self.offline = settings.recording == "read-only"
        self._stamp: tuple[int, int] | None = None
        self._ready: dict[str, bool] = {}
        self.catalogue = ModelCatalogue()
        self.providers: dict[str, Provider] = {}
        self._specs: dict[str, tuple[ProviderSpec, str]] = {}
        self.problem = ""
        """Why the file as it is now was not taken over; empty where it was."""

    @property
    def file(self) -> Path | None:
        """Path of models.toml, where the settings name one."""
        return self._settings.models_file

    async def load(self) -> None:
        """Read the file, and make the providers that changed.

        Raises:
            SettingsError: one line for each thing that does not fit; what was there before stays.
        """
        path = self._settings.models_file
        catalogue = ModelCatalogue()
        if path is not None:
            self._stamp = _stamp(path)
            try:
                catalogue = read_catalogue(await asyncio.to_thread(_parsed, path))
            except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, CatalogueError) as error:
                raise SettingsError(f"SYNTHBENCH_MODELS_FILE {path}: {error}") from error
        wanted = {**self._configured(), **{n: (s, self._key_of(s)) for n, s in catalogue.providers.items()}}
        providers = {
            name: self.providers[name] if self._specs.get(name) == spec else self._make(name, *spec)
            for name, spec in wanted.items()
        }
        for name, model in catalogue.models.items():
            if (model.provider or name.partition("/")[0]) not in providers and UPSTREAM not in providers:
                raise SettingsError(f"SYNTHBENCH_MODELS_FILE {path}: models.{name}: there is no such provider")
        old = [provider for name, provider in self.providers.items() if providers.get(name) is not provider]
        self.catalogue, self.providers, self._specs, self.problem = catalogue, providers, wanted, ""
        # Calls on their way keep their client until it is idle.
        asyncio.get_running_loop().call_later(self._settings.upstream_timeout_seconds, _close, old) if old else None

    def _configured(self) -> dict[str, tuple[ProviderSpec, str]]:
        """Providers that settings alone make."""
        settings = self._settings
        options: dict[str, dict[str, Any]] = {
            "sim": {"latency_ms": settings.sim_latency_ms},
            "replay": {"folder": str(settings.replay_folder or "")},
        }
        found = {
            name: (ProviderSpec(kind=name, options=of_kind), "")
            for name, of_kind in options.items()
            if name in provider_kinds()
        }
        if self._settings.upstream_base_url:
            spec = ProviderSpec(kind="openai", base_url=self._settings.upstream_base_url)
            found[UPSTREAM] = (spec, _plain(self._settings.upstream_api_key))
        for name in _OFFERED:
            key: SecretStr | None = getattr(self._settings, f"{name}_api_key")
            if key is not None:
                found[name] = (ProviderSpec(kind=name), _plain(key))
        return found

    def _key_of(self, spec: ProviderSpec) -> str:
        """Recordings need no key."""
        return "" if self.offline else _key_of(spec)

    def _make(self, name: str, spec: ProviderSpec, key: str) -> Provider:
        kinds = provider_kinds()
        if spec.kind not in kinds:
            raise SettingsError(
                f"providers.{name}: there is no kind {spec.kind!r}; there are {', '.join(sorted(kinds))}"
            )
        shown = "openai" if name == UPSTREAM else name
        secret = SecretStr(key) if key else None
        if secret is not None:
            redact(secret)
        config = ProviderConfig(
            shown,
            spec.urls,
            secret,
            artifacts=self._store,
            max_answer_bytes=self._settings.max_answer_mb * 1024 * 1024,
            connections=self._settings.upstream_connections,
            options=spec.options,
        )
        return kinds[spec.kind].make(config)

    async def watch(self) -> None:
        """Read the file again whenever it changed. A broken one is said in the log, and the last good one stays."""
        path = self._settings.models_file
        if path is not None and _stamp(path) != self._stamp:
            await self.reload()

    async def probe(self) -> None:
        """Ask every provider from time to time whether it is there: a metric, and a line when it changes."""
        for name, provider in list(self.providers.items()):
            problem = await _problem(provider)
            metrics.READY.labels(name).set(0 if problem else 1)
            if self._ready.get(name, True) != (not problem):
                self._log.warning("provider", name=name, ready=not problem, problem=problem)
            self._ready[name] = not problem

    async def reload(self) -> None:
        """Read the file again now."""
        try:
            await self.load()
        except SettingsError as error:
            self.problem = str(error)
            self._log.error("models.toml is not taken over", error=self.problem)
        else:
            self._log.info("models.toml read", models=len(self.catalogue.models), routes=len(self.catalogue.routes))

    def known(self, name: str) -> Model:
        """Return the catalogue's entry of a model."""
        return self.catalogue.model(name)

    def find(self, name: str) -> tuple[Provider, str]:
        """Return the provider of a model, and its name there; `replay/<model>` has the provider of the model.

        Raises:
            Refusal: 404, nobody does.
        """
        if name.startswith(REPLAY_PREFIX) and not self._is_trajectory(name):
            return self._find(name.removeprefix(REPLAY_PREFIX), offline=True)
        return self._find(name, offline=self.offline)

    def _is_trajectory(self, name: str) -> bool:
        replay = self.providers["replay"]
        return isinstance(replay, ReplayProvider) and replay.holds(name)

    def _find(self, name: str, *, offline: bool) -> tuple[Provider, str]:
        model = self.catalogue.model(name)
        first, _, rest = name.partition("/")
        if model.provider and model.provider in self.providers:
            return self.providers[model.provider], model.name or name.removeprefix(f"{model.provider}/")
        if first in _LOCAL and first in self.providers:
            return self.providers[first], name
        if first in self.providers and first != UPSTREAM and rest:
            return self.providers[first], model.name or rest
        if UPSTREAM in self.providers:
            return self.providers[UPSTREAM], model.name or name
        if offline:  # nobody asks it, but which wire it speaks is part of what was asked
            kind = first if first in _OFFERED else "openai"
            return self._make(kind, ProviderSpec(kind=kind), ""), name
        raise Refusal(
            404,
            "model_not_found",
            f"no provider for {name!r}: set SYNTHBENCH_UPSTREAM_BASE_URL (and SYNTHBENCH_UPSTREAM_API_KEY), name it in "
            "SYNTHBENCH_MODELS_FILE, or take one of sim/*",
        )

    def limits(self, name: str, provider: Provider) -> tuple[Limit, ...]:
        """Return the rate limits of a model's calls: its own, and its provider's."""
        spec = self.catalogue.providers.get(provider.name)
        return limits_of("model", name, self.known(name)) + limits_of("provider", provider.name, spec)

    def names(self) -> list[str]:
        """Return the routes and models that can be named."""
        local = [name for provider in self.providers.values() for name in provider.models()]
        return [*self.catalogue.routes, *self.catalogue.models, *local]

    async def aclose(self) -> None:
        """Close all providers."""
        for provider in self.providers.values():
            await provider.aclose()


async def _problem(provider: Provider) -> str:
    try:
        await provider.check()
    except Exception as error:  # noqa: BLE001 - whatever a check raises is the finding
        return one_line(error)
    return ""


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _parsed(path: Path) -> Mapping[str, Any]:
    return parse_toml(path.read_text("utf-8"))


def _plain(key: SecretStr | None) -> str:
    return key.get_secret_value() if key else ""


def _key_of(spec: ProviderSpec) -> str:
    """The key that a provider's `api_key_env` names, or the content of the file that `<name>_FILE` names."""
    if spec.api_key_file:
        return _content(spec.api_key_file, "api_key_file")
    name = spec.api_key_env
    if not name:
        return ""
    if path := os.environ.get(f"{name}_FILE"):
        return _content(path, f"{name}_FILE")
    if name not in os.environ:
        raise SettingsError(f"the environment variable {name} is not set; a provider in models.toml names it")
    return os.environ[name]


def _content(path: str, setting: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: cannot read {path}: {type(error).__name__}") from None


def _close(providers: list[Provider]) -> None:
    for provider in providers:
        task = asyncio.ensure_future(provider.aclose())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()
