"""Permissions on the bus: accounts and users of the NATS server, as they follow from the registry.

The services share one account with JetStream, each as a user of its own. Every client has an account to itself, without
JetStream: the server maps the few subjects on which it may publish to subjects with its name in the services' account,
and hands it the events. So who sent something is proven by its subject, and a reply subject that a client names is one
in its own account: no acknowledgement and no answer of the server can be led to a subject of ours.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.registry import EVENTS, OPERATOR, EventSpec, Service, arrives_as, durables
from synthbench.contracts.rpc import ANNOUNCE, CLAIM, HEARTBEAT, OUTBOX_OWNERS, RELEASE, republish_subject

ACCOUNT = "SERVICES"
_OF_EXECUTORS = (CLAIM, HEARTBEAT, RELEASE, ANNOUNCE)
_ANSWERS = {
    service: (republish_subject(service), *(_OF_EXECUTORS if service is Service.SCHEDULER else ()))
    for service in OUTBOX_OWNERS
}
_ASKS = {Service.EXECUTOR: _OF_EXECUTORS}
CLIENT_CONNECTIONS = 250
"""Of one client at once: nobody takes the server's last descriptor."""


def client_account(name: str) -> str:
    """Name of a client's account."""
    return f"CLIENT-{name}"


def nats_accounts(
    passwords: Mapping[Service, str], clients: Mapping[str, str], pools: Sequence[str] = DEFAULT_POOLS
) -> str:
    """Return the `accounts {…}` block of a nats-server configuration.

    Args:
        passwords: for each service that shall exist; plain, or bcrypt hashes as the server takes them.
        clients: for each client that shall exist, by its name.
        pools: names of the pools that have subjects.

    `topology` is the operator: it alone may make and change streams and consumers, and resend dead letters.
    """
    names = tuple(clients)
    users = [_user(service, password, names, pools) for service, password in passwords.items()]
    exports = [_export(kind, subject, name) for name in names for kind, subject in _exports(name, pools)]
    shared = [f"{{ stream: {json.dumps(subject)} }}" for subject in client_events(pools)]
    ours = [f"  {ACCOUNT}: {{", "    jetstream: enabled", *_list("users", users), *_list("exports", exports + shared)]
    theirs = [line for name, password in clients.items() for line in _client(name, password, pools)]
    return "\n".join(["accounts {", *ours, "  }", *theirs, "}", ""])


def _list(name: str, rows: Iterable[str]) -> list[str]:
    return [f"    {name}: [", *(f"      {row}" for row in rows), "    ]"]


def _user(service: Service, password: str, clients: Sequence[str], pools: Sequence[str]) -> str:
    publish, subscribe = allowed(service, clients, pools)
    answers = "allow_responses: { max: 1, expires: '1m' }" if service in _ANSWERS else ""
    return _entry(str(service), password, publish, subscribe, answers)


def _entry(user: str, password: str, publish: Sequence[str], subscribe: Sequence[str], more: str = "") -> str:
    permissions = ", ".join(
        [f"publish: {{ allow: {json.dumps(publish)} }}", f"subscribe: {{ allow: {json.dumps(subscribe)} }}"]
        + ([more] if more else [])
    )
    return f"{{ user: {json.dumps(user)}, password: {json.dumps(password)}, permissions: {{ {permissions} }} }}"


def allowed(
    service: Service, clients: Sequence[str], pools: Sequence[str] = DEFAULT_POOLS
) -> tuple[list[str], list[str]]:
    """Return the subjects that a service may publish and subscribe to."""
    if service is Service.TOPOLOGY:
        return [">"], [">"]
    publish = [
        subject for spec in EVENTS if service in spec.producers for subject in _published(spec, service, clients, pools)
    ]
    publish += _ASKS.get(service, ())
    subscribe = [f"_INBOX.{service}.>", *_ANSWERS.get(service, ())]
    mine = [durable for durable in durables(clients, pools) if durable.service is service]
    for durable in mine:
        name = f"{durable.stream}.{durable.name}"
        publish += [f"$JS.API.CONSUMER.INFO.{name}", f"$JS.API.CONSUMER.MSG.NEXT.{name}", f"$JS.ACK.{name}.>"]
    publish += [durable.dead_subject for durable in mine]
    return publish, subscribe


def _published(spec: EventSpec, service: Service, clients: Sequence[str], pools: Sequence[str]) -> list[str]:
    if spec.by_sender:
        return [arrives_as(subject, service) for subject in spec.subjects(pools)]
    if spec.to_sender:
        return [arrives_as(subject, client) for subject in spec.subjects(pools) for client in (OPERATOR, *clients)]
    return list(spec.subjects(pools))


def client_allowed(pools: Sequence[str] = DEFAULT_POOLS) -> tuple[list[str], list[str]]:
    """Return the subjects that a client may publish and subscribe to, as they are called in its account."""
    return client_requests(pools), [*client_events(pools), *_answers(pools), "_INBOX.>"]


def client_requests(pools: Sequence[str] = DEFAULT_POOLS) -> list[str]:
    """Return the subjects that clients may publish."""
    return [subject for spec in EVENTS if Service.CLIENT in spec.producers for subject in spec.subjects(pools)]


def client_events(pools: Sequence[str] = DEFAULT_POOLS) -> list[str]:
    """Return the subjects that every client may read; requests of others and answers to them are not among them."""
    return [subject for spec in EVENTS if not spec.named for subject in spec.subjects(pools)]


def _answers(pools: Sequence[str]) -> list[str]:
    """Return the subjects on which each client reads the answers to its own requests."""
    return [subject for spec in EVENTS if spec.to_sender for subject in spec.subjects(pools)]


def _exports(client: str, pools: Sequence[str]) -> list[tuple[str, str]]:
    requests = [("service", arrives_as(subject, client)) for subject in client_requests(pools)]
    return requests + [("stream", arrives_as(subject, client)) for subject in _answers(pools)]


def _export(kind: str, subject: str, client: str) -> str:
    return f"{{ {kind}: {json.dumps(subject)}, accounts: [{json.dumps(client_account(client))}] }}"


def _client(name: str, password: str, pools: Sequence[str]) -> list[str]:
    imports = [_import("service", arrives_as(subject, name), subject) for subject in client_requests(pools)]
    imports += [_import("stream", arrives_as(subject, name), subject) for subject in _answers(pools)]
    imports += [_import("stream", subject) for subject in client_events(pools)]
    return [
        f"  {json.dumps(client_account(name))}: {{",
        f"    limits: {{ max_connections: {CLIENT_CONNECTIONS} }}",
        *_list("users", [_entry(name, password, *client_allowed(pools))]),
        *_list("imports", imports),
        "  }",
    ]


def _import(kind: str, subject: str, called: str = "") -> str:
    source = f"{{ account: {ACCOUNT}, subject: {json.dumps(subject)} }}"
    return f"{{ {kind}: {source}" + (f", to: {json.dumps(called)} }}" if called else " }")
