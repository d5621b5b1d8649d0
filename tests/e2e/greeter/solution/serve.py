"""The service."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from itsdangerous import Signer

signer = Signer(Path("/app/key").read_text())


class Greeter(BaseHTTPRequestHandler):
    """Signs a greeting."""

    def do_GET(self):
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(signer.sign(f"hello {sys.argv[1]}"))


HTTPServer(("127.0.0.1", 8080), Greeter).serve_forever()
