#!/usr/bin/env python3
"""Write deploy/compose/nats.conf from the registry (--check: fail if it is stale), or a .env with fresh secrets."""

import re
import secrets
import sys
from pathlib import Path

from synthbench.chassis.permissions import nats_authorization
from synthbench.contracts.registry import Service

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "deploy/compose/nats.conf"
ENV = ROOT / ".env"


def variable(service: Service) -> str:
    """Name of the environment variable with a user's password."""
    return f"NATS_PASSWORD_{service.upper()}"


def nats_conf() -> str:
    """The server reads the passwords from its environment."""
    users = nats_authorization({service: f"${variable(service)}" for service in Service})
    users = re.sub(r'password: "(\$\w+)"', r"password: \1", users)
    return (
        "# Written by `make docs` from the registry of events: users, and what each may say.\n"
        'listen: "0.0.0.0:4222"\nserver_name: "synth-bench"\nmax_payload: 8MB\n'
        'jetstream {\n  store_dir: "/data"\n}\n' + users
    )


def main() -> int:
    """Do what the arguments say."""
    if "--env" in sys.argv:
        target = Path(sys.argv[-1]) if sys.argv[-1] != "--env" else ENV
        if target.exists():
            print(f"{target} is there already; its secrets stay")
            return 0
        names = [variable(service) for service in Service]
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
