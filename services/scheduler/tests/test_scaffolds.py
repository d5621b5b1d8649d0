"""What executors announce of their scaffolds decides which of them may fork."""

import pytest

from synthbench.chassis.errors import Retry
from synthbench.contracts.rpc import ExecutorAnnouncement, ScaffoldOffer
from synthbench.scheduler.scaffolds import AnnouncedScaffolds


async def announce(scaffolds: AnnouncedScaffolds, **resumable: bool) -> None:
    offers = [ScaffoldOffer(name=name, resumable=value) for name, value in resumable.items()]
    await scaffolds.announce(ExecutorAnnouncement(executor="e", scaffolds=offers))


async def test_an_announced_scaffold_is_resumable_as_it_was_announced_last(scheduler):
    scaffolds = AnnouncedScaffolds(scheduler.store, ("native", "nop"))
    with pytest.raises(Retry, match="no executor has announced the scaffold native yet"):
        await scaffolds.resumable("native")
    assert await scaffolds.resumable("unheard-of") == []
    await announce(scaffolds, native=True, nop=False, other=True)
    assert await scaffolds.resumable("native") == ["native"]  # other is not expected here
    assert await scaffolds.resumable("nop") == ["native"]
    await announce(scaffolds, native=False, nop=False)
    await announce(scaffolds, native=False, nop=False)
    assert await scaffolds.resumable("native") == []
