"""Providers of models: those that the gateway brings along, and those that other packages offer by entry points."""

from functools import cache
from importlib.metadata import entry_points

from synthbench.wire.providers import ProviderFactory

GROUP = "synthbench.providers"


@cache
def provider_kinds() -> dict[str, ProviderFactory]:
    """Return the factory of every installed kind of provider, by its name."""
    return {entry.name: entry.load() for entry in entry_points(group=GROUP)}
