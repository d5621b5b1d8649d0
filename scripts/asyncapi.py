#!/usr/bin/env python3
"""Write docs/asyncapi.json (AsyncAPI 3.0) from the registry of events; with --check, fail if it is out of date."""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from synthbench.contracts.events import DeadLetter
from synthbench.contracts.registry import DEAD_TYPE, EVENTS, EventSpec

TARGET = Path(__file__).resolve().parent.parent / "docs/asyncapi.json"


def channel(spec: EventSpec) -> dict[str, Any]:
    """One subject, with its producers and consumers named."""
    names = {"by_sender": "sender", "to_sender": "receiver"}
    named = next((token for field, token in names.items() if getattr(spec, field)), None)
    place = f"Stream {spec.stream}" if spec.stream else "A stream for each client"
    described: dict[str, Any] = {
        "address": ".".join([spec.name, *(f"{{{token}}}" for token in (*spec.tokens, *([named] if named else [])))]),
        "title": spec.type,
        "description": f"{place}. From {', '.join(spec.producers)}; "
        f"read by {', '.join(spec.consumers) or 'whoever listens'}.",
        "messages": {spec.body.__name__: {"$ref": f"#/components/messages/{spec.body.__name__}"}},
    }
    parameters: dict[str, Any] = {
        token: {"enum": sorted({suffix.split(".")[index] for suffix in spec.suffixes()})}
        for index, token in enumerate(spec.tokens)
    }
    if named:
        parameters[named] = {
            "description": "A client or a service. The server puts it there; clients publish and hear it without."
        }
    return {**described, "parameters": parameters} if parameters else described


def document() -> dict[str, Any]:
    """The whole document."""
    bodies = {spec.body.__name__: (spec.body, spec.type) for spec in EVENTS}
    bodies["DeadLetter"] = (DeadLetter, DEAD_TYPE)
    _, schemas = models_json_schema(
        [(body, "validation") for body, _ in bodies.values()], ref_template="#/components/schemas/{model}"
    )
    channels = {spec.name: channel(spec) for spec in EVENTS}
    channels["dead"] = {
        "address": "dead.{stream}.{consumer}",
        "description": "Stream DEAD. Messages that a consumer gave up, whole.",
        "parameters": {"stream": {}, "consumer": {}},
        "messages": {"DeadLetter": {"$ref": "#/components/messages/DeadLetter"}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "synth-bench events",
            "version": "1",
            "description": "CloudEvents 1.0 in binary mode over NATS JetStream: attributes in `ce-*` headers, "
            "W3C `traceparent`, JSON payload. A bare JSON message without ce headers is accepted.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"{service}-{action}-{spec.name}".replace(".", "-"): {
                "action": action,
                "channel": {"$ref": f"#/channels/{spec.name}"},
            }
            for spec in EVENTS
            for action, services in (("send", spec.producers), ("receive", spec.consumers))
            for service in services
        },
        "components": {
            "messages": {
                name: {
                    "name": type_,
                    "summary": (body.__doc__ or "").strip().splitlines()[0],
                    "payload": {"$ref": f"#/components/schemas/{name}"},
                }
                for name, (body, type_) in bodies.items()
            },
            "schemas": schemas["$defs"],
        },
    }


def main() -> int:
    """Write the file, or compare with it."""
    text = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        if TARGET.exists() and TARGET.read_text() == text:
            return 0
        print("docs/asyncapi.json is out of date: run `make docs`", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
