"""Asks the service that the agent left running."""

import os
import urllib.request
from pathlib import Path

from itsdangerous import Signer

with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['PORT']}/", timeout=5) as answer:
    text = Signer(Path("/app/key").read_text()).unsign(answer.read())
assert text == b"hello world", text
