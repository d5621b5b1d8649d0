"""`dead list|show|resend`: what could not be handled."""

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from cyclopts import App, Parameter

from synthbench.chassis.bus import Bus
from synthbench.chassis.dead import NoSuchLetter, list_dead, resend_dead, show_dead
from synthbench.cli import console
from synthbench.client.errors import CliError
from synthbench.operations.operator import operator_bus

app = App(name="dead", help="Messages that no consumer could handle.")


@asynccontextmanager
async def _bus() -> AsyncGenerator[Bus]:
    """The bus as its operator: resending may publish what services publish."""
    async with operator_bus(console.say) as bus:
        try:
            yield bus
        except NoSuchLetter as error:
            raise CliError(str(error)) from error


@app.command(name="list")
async def list_letters(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List dead letters, oldest first.

    Args:
        json: Print them as JSON.
    """
    async with _bus() as bus:
        kept = [one async for one in list_dead(bus)]
    if json:
        console.show_json([{"sequence": one.sequence, **one.letter.to_dict()} for one in kept])
    else:
        rows = [
            [str(k.sequence), k.letter.consumer, k.letter.subject, str(k.letter.deliveries), k.letter.error]
            for k in kept
        ]
        console.table(["number", "consumer", "subject", "failures", "error"], rows)


@app.command
async def show(number: int, /) -> None:
    """Show one dead letter, whole.

    Args:
        number: From `dead list`.
    """
    async with _bus() as bus:
        letter = (await show_dead(bus, number)).letter
    text = base64.b64decode(letter.payload).decode("utf-8", errors="replace")
    console.show_json({**letter.to_dict(), "payload": text})


@app.command
async def resend(number: int, /) -> None:
    """Put a message back where it came from, and delete the letter.

    Args:
        number: From `dead list`.
    """
    async with _bus() as bus:
        letter = await resend_dead(bus, number)
    console.say(f"sent again to {letter.subject}")
