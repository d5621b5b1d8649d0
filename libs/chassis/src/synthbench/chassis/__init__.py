"""What every service process needs and no domain: settings, logs, traces, bus, consumers, outbox, health, shutdown."""

import importlib
import sys

# nats-py imports aiohttp for a WebSocket transport that we do not use: 0.13 s of CPU at the start of each process.
# It takes its absence well, so aiohttp is hidden from it, and from nobody else.
if "aiohttp" not in sys.modules and "nats" not in sys.modules:
    sys.modules["aiohttp"] = None  # type: ignore[assignment] - None is how an import is refused
    try:
        importlib.import_module("nats.aio.client")
    finally:
        del sys.modules["aiohttp"]
