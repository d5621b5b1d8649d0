"""A way to an S3 server that can go wrong: slow, hanging, full, denying, cut off, or with other bytes."""

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ERRORS = {
    "full": (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold."),
    "busy": (503, "SlowDown", "Please reduce your request rate."),
    "denying": (403, "AccessDenied", "Access Denied."),
    "racing": (409, "ConditionalRequestConflict", "A conflicting conditional operation is under way."),
    "broken": (500, "InternalError", "We encountered an internal error."),
}
_PASSED_BY = ("connection", "transfer-encoding", "content-length")


class FaultyS3:
    """Hands requests on to a real server, as they are; what `fault` names happens to those that `hits` picks."""

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.fault = ""
        self.hits: Callable[[str, str], bool] = lambda _method, _path: True
        self.count = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name
                """Tests have no use for it."""

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, OSError):
                    self.close_connection = True

            def __getattr__(self, name: str):
                if name.startswith("do_"):
                    return lambda: owner.serve(self)
                raise AttributeError(name)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self.fault if self.hits(request.command, request.path) else ""
        self.count += bool(fault)
        if fault in ERRORS:
            status, code, said = ERRORS[fault]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{said}</Message></Error>".encode()
            self._answer(request, status, [("Content-Type", "application/xml")], text)
            return
        if fault == "slow":
            time.sleep(0.3)
        if fault == "hanging":
            time.sleep(3.0)
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        try:
            connection.request(request.command, request.path, body, dict(request.headers.items()))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        length = len(content)
        if fault == "other bytes" and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault == "cut off":
            content = content[: len(content) // 2]
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _PASSED_BY]
        if request.command == "HEAD":
            headers.append(("Content-Length", response.getheader("Content-Length") or "0"))
            length = -1
        self._answer(request, response.status, headers, content, length)

    @staticmethod
    def _answer(
        request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes, length: int = -2
    ) -> None:
        request.send_response_only(status)
        for name, value in headers:
            request.send_header(name, value)
        if length != -1:
            request.send_header("Content-Length", str(len(content) if length == -2 else length))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)
        if len(content) < length:
            request.close_connection = True
