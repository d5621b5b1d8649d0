"""Who may say what on the bus: a NATS user for each service, with permissions that follow from the registry."""

import json
from collections.abc import Mapping

from synthbench.contracts.registry import EVENTS, Service, Stream, durables
from synthbench.contracts.rpc import CLAIM, HEARTBEAT, RELEASE

_ANSWERS = {Service.SCHEDULER: (CLAIM, HEARTBEAT, RELEASE)}
_ASKS = {Service.EXECUTOR: (CLAIM, HEARTBEAT, RELEASE)}


def nats_authorization(passwords: Mapping[Service, str]) -> str:
    """Return the `authorization {…}` block of a nats-server configuration.

    Args:
        passwords: for each user that shall exist; plain, or bcrypt hashes as the server takes them.

    `topology` is the operator: it alone may make and change streams and consumers, and resend dead letters.
    """
    users = ",\n".join(f"    {_user(service, password)}" for service, password in passwords.items())
    return f"authorization {{\n  users = [\n{users}\n  ]\n}}\n"


def _user(service: Service, password: str) -> str:
    publish, subscribe = allowed(service)
    permissions = f"publish: {{ allow: {json.dumps(publish)} }}, subscribe: {{ allow: {json.dumps(subscribe)} }}" + (
        ", allow_responses: { max: 1, expires: '1m' }" if service in _ANSWERS else ""
    )
    return f"{{ user: {json.dumps(str(service))}, password: {json.dumps(password)}, permissions: {{ {permissions} }} }}"


def allowed(service: Service) -> tuple[list[str], list[str]]:
    """Return the subjects that a service may publish and subscribe to."""
    if service is Service.TOPOLOGY:
        return [">"], [">"]
    publish = [subject for spec in EVENTS if service in spec.producers for subject in spec.subjects]
    publish += _ASKS.get(service, ())
    subscribe = [f"_INBOX.{service}.>", *_ANSWERS.get(service, ())]
    mine = [durable for durable in durables() if durable.service is service]
    for durable in mine:
        name = f"{durable.stream}.{durable.name}"
        publish += [f"$JS.API.CONSUMER.INFO.{name}", f"$JS.API.CONSUMER.MSG.NEXT.{name}", f"$JS.ACK.{name}.>"]
    publish += [durable.dead_subject for durable in mine]
    if service is Service.CLIENT:
        publish += [f"$JS.API.STREAM.INFO.{stream}" for stream in Stream]
        publish += [f"$JS.API.STREAM.MSG.GET.{Stream.DEAD}", "$JS.API.CONSUMER.INFO.*.*"]
        subscribe += [subject for spec in EVENTS for subject in spec.subjects] + ["dead.>"]
    return publish, subscribe
