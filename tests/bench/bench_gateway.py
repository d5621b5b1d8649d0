"""The llm-gateway beside LiteLLM's proxy and a bare pass-through, all before the same model of zero latency.

Each is one worker on one core; the model, the callers, Postgres and NATS share the other one. Ours checks a key for
each attempt, holds five budgets, writes every call down before its answer goes out, announces it, and is traced.
LiteLLM checks one key and keeps nothing; the pass-through does nothing. In every case the three take turns, round by
round.

What is said of each case: latency (p50 and p99, ms), calls a second, CPU milliseconds a call of the proxy's process.
Then the memory of ours over 100,000 calls.
"""

import asyncio
import json
import os
import statistics
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import uvloop

from .bench_soak import growth
from .load import Load, Request, load
from .peers import Absent
from .proxies import LITELLM, Cores, Proxy, busy_ms, gateway, litellm, model, passthrough
from .report import QUICK, Report
from .stack import memory_mb

CALLERS = (1, 8) if QUICK else (1, 16, 64, 256)
ROUNDS = {"short": 1 if QUICK else 2, "100k tokens": 1}
SECONDS = 0.3 if QUICK else 1.0
PROMPTS = {"short": 250, "100k tokens": 100_000}
CHARACTERS_A_TOKEN = 4
MEMORY_CALLS, LOOKS = (600, 4) if QUICK else (100_000, 20)
MEMORY_CALLERS = 32
KEYS = 60 if QUICK else 2000


@dataclass
class Result:
    """One proxy in one case."""

    loads: list[Load] = field(default_factory=list[Load])
    cpu_ms: float = 0.0
    other_core: float = 0.0
    """Share of the time that the other core was busy."""

    @property
    def rate(self) -> float:
        """Calls a second; the median of the rounds."""
        return statistics.median(load.rate for load in self.loads)

    def percentile(self, share: float) -> float:
        """Of all rounds' latencies."""
        return Load(0, 0, [one for load in self.loads for one in load.latencies]).percentile(share)

    @property
    def calls(self) -> int:
        """Of all rounds."""
        return sum(len(load.latencies) for load in self.loads)

    def __str__(self) -> str:
        return (
            f"p50 {self.percentile(0.5):.2f} ms, p99 {self.percentile(0.99):.2f} ms, {self.rate:.0f} calls/s, "
            f"{self.cpu_ms / self.calls:.2f} ms CPU a call"
        )


Results = dict[tuple[str, str, int], Result]
"""By the proxy's name, the kind of call, and the number of callers."""


def main() -> None:
    report = Report("gateway")
    with tempfile.TemporaryDirectory(prefix="synthbench-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        usable = os.sched_getaffinity(0)
        try:
            asyncio.Runner(loop_factory=uvloop.new_event_loop).run(measure(report, folder))
        finally:
            os.sched_setaffinity(0, usable)  # other benches may follow in this process
    report.finish(["synth-bench-llm-gateway", "httpx", "httpx-aiohttp", "uvicorn", "uvloop"])


async def measure(report: Report, folder: Path) -> None:
    cores = Cores.take()
    async with AsyncExitStack() as running:
        upstream = await running.enter_async_context(model(folder, cores))
        ours = await running.enter_async_context(gateway(folder, cores, upstream.port, keys=KEYS))
        floor = await running.enter_async_context(passthrough(folder, cores, upstream.port))
        proxies = [floor, ours]
        if not QUICK:  # installing it takes longer than everything else
            try:
                report.facts["the peer"] = LITELLM
                proxies.append(await running.enter_async_context(litellm(folder, cores, upstream.port)))
            except Absent as error:
                report.facts["litellm was not measured"] = str(error)
        results = await compare(proxies, cores)
        tell(report, results)
        await without_proxy(report, upstream)
        await memory(report, ours)


def body(prompt: str, *, stream: bool) -> bytes:
    """A request as an agent sends it: a system prompt, a question, and a tool."""
    text = "It rains. " * (PROMPTS[prompt] * CHARACTERS_A_TOKEN // 10)
    schema = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
    request = {
        "model": "lab/instant",
        "messages": [{"role": "system", "content": "You mend code."}, {"role": "user", "content": text}],
        "tools": [{"type": "function", "function": {"name": "bash", "description": "Run.", "parameters": schema}}],
        "max_tokens": 1000,
    }
    return json.dumps({**request, "stream": True} if stream else request).encode()


async def compare(proxies: list[Proxy], cores: Cores) -> Results:
    """Every case, with the proxies in turns."""
    results: Results = {}
    for prompt in PROMPTS:
        for stream in (False, True):
            asked = body(prompt, stream=stream)
            for proxy in proxies:
                await load(Request(proxy.port, asked, proxy.keys), 4, 0.2)  # warm
            for callers in CALLERS:
                for _ in range(ROUNDS[prompt]):
                    for proxy in proxies:
                        case = (proxy.name, f"{prompt}, {'stream' if stream else 'whole'}", callers)
                        await one_round(results.setdefault(case, Result()), proxy, asked, callers, cores)
    return results


async def one_round(result: Result, proxy: Proxy, asked: bytes, callers: int, cores: Cores) -> None:
    cpu, busy = proxy.cpu_ms(), busy_ms(cores.others)
    done = await load(Request(proxy.port, asked, proxy.keys), callers, SECONDS)
    result.loads.append(done)
    result.cpu_ms += proxy.cpu_ms() - cpu
    result.other_core = max(result.other_core, (busy_ms(cores.others) - busy) / done.seconds / 1000)


def tell(report: Report, results: Results) -> None:
    for (name, kind, callers), result in results.items():
        report.facts[f"{kind}, {callers:>3} callers, {name}"] = str(result)
    for kind, callers in product(("short, whole", "short, stream"), CALLERS[1:3]):
        ours, floor = results["synth-bench", kind, callers], results["pass-through", kind, callers]
        report.facts[f"{kind}, {callers} callers, synth-bench: other core busy"] = f"{ours.other_core:.0%}"
        if peer := results.get(("litellm", kind, callers)):
            report.target(f"over_litellm_{kind.split()[1]}_{callers}_callers", ours.rate / peer.rate, ">= 10")
        report.target(f"share_of_floor_{kind.split()[1]}_{callers}_callers", ours.rate / floor.rate, ">= 0.3333")
    one, bare = results["synth-bench", "short, whole", 1], results["pass-through", "short, whole", 1]
    report.target("added_p50_ms_1_caller", one.percentile(0.5) - bare.percentile(0.5), "<= 1.5")


async def without_proxy(report: Report, upstream: Proxy) -> None:
    """What the callers and the model can do on their one core: they must not be the limit."""
    for kind, stream in (("whole", False), ("stream", True)):
        done = await load(Request(upstream.port, body("short", stream=stream), upstream.keys), 64, SECONDS)
        report.facts[f"short, {kind}, 64 callers, without a proxy"] = f"{done.rate:.0f} calls/s"
        if not stream:
            report.facts["latency of the model itself, ms"] = round(done.percentile(0.5), 3)


async def memory(report: Report, ours: Proxy) -> None:
    """Whole answers and streams in turns; each key makes fifty calls, as an attempt does."""
    seen: list[float] = []
    asked = [Request(ours.port, body("short", stream=stream), ours.keys) for stream in (False, True)]
    for number in range(LOOKS):
        await load(asked[number % 2], MEMORY_CALLERS, 0, calls=MEMORY_CALLS // LOOKS)
        seen.append(memory_mb(Path(f"/proc/{ours.pid}")))
    report.facts[f"memory MB of synth-bench, every {MEMORY_CALLS // LOOKS} calls"] = [round(one, 1) for one in seen]
    settled = seen[LOOKS // 4 :]
    report.target("memory_growth_share", growth(settled) / statistics.fmean(settled), "<= 0.1")
