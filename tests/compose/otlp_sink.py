"""Stands where Jaeger stands: takes OTLP over HTTP on 4318, and says on 16686 how many requests it took."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    taken = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        Handler.taken += self.path == "/v1/traces"
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(str(Handler.taken).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """Quiet."""


threading.Thread(target=ThreadingHTTPServer(("", 4318), Handler).serve_forever, daemon=True).start()
ThreadingHTTPServer(("", 16686), Handler).serve_forever()
