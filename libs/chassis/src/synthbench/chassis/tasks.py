"""Ending tasks for sure."""

import asyncio
from typing import Any

_AGAIN_SECONDS = 0.2


async def cancel_all(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks and wait until they are over.

    Again and again: on Python 3.11 `asyncio.wait_for`, which nats-py stands on, swallows a cancellation that comes
    together with its result, and the task goes on.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_SECONDS)
