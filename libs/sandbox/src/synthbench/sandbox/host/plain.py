"""What engines without images refuse."""

from typing import NoReturn

from synthbench.sandbox.errors import SpecRefused
from synthbench.sandbox.spec import SandboxSpec


def refuse_images(engine: str) -> NoReturn:
    """Say that there are none.

    Raises:
        SpecRefused: always.
    """
    raise SpecRefused(f"image: the {engine} engine runs from this machine's own system", "use the docker engine")


def refuse_foreign(engine: str, spec: SandboxSpec) -> None:
    """Let a spec pass that asks for nothing but folders.

    Raises:
        SpecRefused: names the field.
    """
    if spec.network != "none":
        raise SpecRefused(f"network: the {engine} engine has no way out for a sandbox", _MEND)
    if spec.image is not None:
        refuse_images(engine)
    if spec.root == "writable":
        raise SpecRefused(f"root: the {engine} engine shows this machine's own system, read-only", _MEND)
    if spec.user == "root":
        raise SpecRefused(f"user: the {engine} engine has no root inside", _MEND)


_MEND = "use the docker engine"
