"""`tokens new|list|revoke`: who may read and change what by the HTTP APIs."""

import hashlib
import re
import secrets
from typing import Annotated, Literal

from cyclopts import App, Parameter

from synthbench.cli import console
from synthbench.client.errors import CliError
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.stack import remote_endpoints

app = App(name="tokens", help="API tokens with roles: viewer, reviewer, operator, admin.")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$")
_SOON = "the embedded stack knows it from its next start on"


@app.command
def new(name: str, /, *, role: Literal["viewer", "reviewer", "operator", "admin"] = "viewer") -> None:
    """Make a token, and print it this once: only its digest is kept.

    Of a stack elsewhere, add the line that is printed with it to SYNTHBENCH_API_TOKENS of its services.

    Args:
        name: Whose it is; the account of changes names it.
        role: Viewers read; reviewers label, too; operators change what runs and what is kept; admins see the account.
    """
    if not _NAME.match(name):
        raise CliError(f"{name!r} is no name: write letters and digits, behind the first one . _ @ - too")
    token = secrets.token_urlsafe(32)
    line = f"{name}:{role}:{hashlib.sha256(token.encode()).hexdigest()}"
    if remote_endpoints() is None:
        data = DataDir()
        lines = data.token_lines()
        if any(_name_in(known) == name for known in lines):
            raise CliError(f"{name} has a token; take it away with: synth-bench tokens revoke {name}")
        data.write_token_lines([*lines, line])
        console.say(_SOON)
    else:
        console.say(f"for SYNTHBENCH_API_TOKENS of each service: {line}")
    console.write(f"{token}\n")


@app.command(name="list")
def list_tokens(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List who has a token of the embedded stack, and with which role.

    Args:
        json: Print them as JSON.
    """
    rows = [line.split(":")[:2] for line in _embedded().token_lines()]
    if json:
        console.show_json([{"name": name, "role": role} for name, role in rows])
    else:
        console.table(["name", "role"], rows)


@app.command
def revoke(name: str, /) -> None:
    """Take a token of the embedded stack away.

    Args:
        name: Whose.
    """
    data = _embedded()
    lines = data.token_lines()
    left = [line for line in lines if _name_in(line) != name]
    if len(left) == len(lines):
        raise CliError(f"{name} has no token of the embedded stack")
    data.write_token_lines(left)
    console.say(_SOON)


def _embedded() -> DataDir:
    if remote_endpoints() is not None:
        raise CliError("the tokens of this stack are in SYNTHBENCH_API_TOKENS of its services")
    return DataDir()


def _name_in(line: str) -> str:
    return line.partition(":")[0]
