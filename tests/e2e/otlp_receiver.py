"""An OTLP/HTTP receiver: appends each span as a line of JSON. `python otlp_receiver.py PORT_FILE SPANS_FILE`"""

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

LOCK = Lock()


def plain(attributes) -> dict:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        with LOCK, Path(sys.argv[2]).open("a") as file:
            for resource in request.resource_spans:
                process = plain(resource.resource.attributes)
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        line = {
                            "trace": span.trace_id.hex(),
                            "span": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "name": span.name,
                            "attributes": plain(span.attributes),
                            "service": process["service.name"],
                            "process": process["service.instance.id"],
                            "error": span.status.code == 2,
                        }
                        file.write(json.dumps(line) + "\n")
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    draft = Path(sys.argv[1] + ".new")
    draft.write_text(str(server.server_port))
    draft.replace(sys.argv[1])
    server.serve_forever()
