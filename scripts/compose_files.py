#!/usr/bin/env python3
"""Write deploy/compose/nats.conf from the registry (--check: fail if it is stale), or a .env with fresh secrets.

--clients alice,bob writes it for these instead of `client` alone, --pools NAME,… for further sandbox engines.
"""

import re
import secrets
import sys
from pathlib import Path

from synthbench.chassis.permissions import nats_accounts
from synthbench.contracts.registry import DEFAULT_CLIENTS, Service, check_clients, declared_pools

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "deploy/compose/nats.conf"
ENV = ROOT / ".env"


SERVICES = [service for service in Service if service is not Service.CLIENT]


def variable(user: str) -> str:
    """Name of the environment variable with a user's password."""
    return f"NATS_PASSWORD_{user.upper().replace('-', '_')}"


def clients() -> tuple[str, ...]:
    """Who may submit."""
    if "--clients" not in sys.argv:
        return DEFAULT_CLIENTS
    return check_clients(sys.argv[sys.argv.index("--clients") + 1].split(","))


def pools() -> tuple[str, ...]:
    """Return every pool that has subjects: those of our own engines, and those that --pools names."""
    named = sys.argv[sys.argv.index("--pools") + 1].split(",") if "--pools" in sys.argv else ()
    return declared_pools(named)


def nats_conf() -> str:
    """The server reads the passwords from its environment."""
    services = {service: f"${variable(service)}" for service in SERVICES}
    users = nats_accounts(services, {client: f"${variable(client)}" for client in clients()}, pools())
    users = re.sub(r'password: "(\$\w+)"', r"password: \1", users)
    return (
        "# Written by `make docs` from the registry of events: accounts, users, and what each may say.\n"
        'listen: "0.0.0.0:4222"\nserver_name: "synth-bench"\nmax_payload: 8MB\n'
        'jetstream {\n  store_dir: "/data"\n}\n' + users
    )


def main() -> int:
    """Do what the arguments say."""
    if "--env" in sys.argv:
        named = sys.argv[sys.argv.index("--env") + 1 :]
        target = Path(named[0]) if named and not named[0].startswith("--") else ENV
        if target.exists():
            print(f"{target} is there already; its secrets stay")
            return 0
        names = [variable(user) for user in (*SERVICES, *clients())]
        names += ["POSTGRES_PASSWORD", "S3_SECRET_KEY", "SYNTHBENCH_API_TOKEN", "SYNTHBENCH_ATTEMPT_KEY_SECRET"]
        target.touch(mode=0o600)
        target.write_text("".join(f"{name}=k{secrets.token_hex(24)}\n" for name in names))
        print(f"wrote {target} with fresh secrets")
        return 0
    if "--check" in sys.argv:
        if CONF.exists() and CONF.read_text() == nats_conf():
            return 0
        print("deploy/compose/nats.conf is out of date: run `make docs`", file=sys.stderr)
        return 1
    CONF.write_text(nats_conf())
    return 0


if __name__ == "__main__":
    sys.exit(main())
