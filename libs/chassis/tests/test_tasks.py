"""A cancellation that is swallowed once is said again."""

import asyncio

from synthbench.chassis.tasks import cancel_all


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same():
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_all(task)
    assert task.cancelled()
    assert swallowed == 3


async def test_one_that_failed_or_ended_is_fine():
    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await cancel_all(task, asyncio.create_task(asyncio.sleep(0)))
    assert isinstance(task.exception(), ValueError)
