"""`images list|gc`: what Docker built for tasks on this machine."""

import time
from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter

from synthbench.cli import console
from synthbench.cli.commands.sandboxes import sandbox_root
from synthbench.client.errors import CliError
from synthbench.sandbox.docker.images import USED_FOLDER, BuildPolicy, Images
from synthbench.sandbox.domain.images import ImageRetention, StoredImage
from synthbench.sandbox.errors import SandboxError

app = App(name="images", help="Images that were built for tasks.")

_DAY = 86_400.0


def _images(retention: ImageRetention) -> Images:
    return Images(BuildPolicy(retention=retention), sandbox_root() / "docker" / USED_FOLDER)


def _show(found: list[StoredImage]) -> None:
    rows = [
        [
            one.id.removeprefix("sha256:")[:12],
            one.tag or "(left by a build)",
            f"{one.size / 1e6:.0f} MB",
            f"{(time.time() - one.used) / _DAY:.1f} days ago",
            "in use" if one.in_use else "",
        ]
        for one in sorted(found, key=lambda one: one.used)
    ]
    console.table(["id", "name", "size", "used", ""], rows)


@app.command(name="list")
def list_images(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List images, the longest unused first; shared layers count in each.

    Args:
        json: Print them as JSON.
    """
    try:
        found = _images(ImageRetention()).listed()
    except SandboxError as error:
        raise CliError(str(error)) from error
    if json:
        console.show_json([asdict(one) for one in found])
    else:
        _show(found)


@app.command
def gc(
    *,
    days: Annotated[float, Parameter(env_var="SYNTHBENCH_IMAGE_DAYS")] = 14.0,
    gb: Annotated[float, Parameter(env_var="SYNTHBENCH_IMAGE_GB")] = 20.0,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Remove what is not kept any more, as executors do by themselves; nothing that is used, or was within the hour.

    Args:
        days: An image goes when it was not used for so long.
        gb: The longest unused go when all together are more.
        dry_run: Only say what would go.
    """
    images = _images(ImageRetention(seconds=days * _DAY, total_bytes=round(gb * 1e9)))
    try:
        _show(list(images.unwanted()) if dry_run else images.collect())
    except SandboxError as error:
        raise CliError(str(error)) from error
