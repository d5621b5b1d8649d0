"""Programs that agents of the `command` scaffold run to harm what runs beside them, one for each kind of attack.

Each is Python that runs inside the sandbox and attacks until `UNTIL` (seconds) are over. `ask` sends a model call.
"""

PREAMBLE = """
import glob, json, os, socket, sys, threading, time, urllib.error, urllib.request
END = time.time() + float(os.environ["UNTIL"])
BASE = os.environ["OPENAI_BASE_URL"]
MESSAGES = [{"role": "user", "content": "hi"}]
SOCKETS = glob.glob("/run/synthbench/**/*.sock", recursive=True)
def going_on(): return time.time() < END
def ask(data, headers={}):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    wanted = urllib.request.Request(BASE + "/chat/completions", data=body,
                                    headers={"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(wanted, timeout=30) as answer: return answer.status
    except urllib.error.HTTPError as error: return error.code
    except Exception: return 0
def unix():
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(2)
    made.connect(SOCKETS[0])
    return made
"""

GIGANTIC_VALUE = """
def nest(n, d):
    value = ["3.0%d" % (i % 10) for i in range(n)]
    for _ in range(d): value = [value]
    return value
def line_total(*a, **k): return nest(26000, 190)
def invoice_total(*a, **k): return nest(26000, 190)
def summary(*a, **k): return {"net": nest(110000, 190), "text": "\\ud800", "nul": "a\\0b"}
"""
"""What the code under test returns to its verification."""

ATTACKS: dict[str, str] = {
    "nested folders": """
while going_on():
    top = "d%d" % time.time_ns()
    os.mkdir(top); here = os.getcwd(); os.chdir(top)
    for _ in range(3000):
        os.mkdir("d"); os.chdir("d")
    os.chdir(here); time.sleep(5)
""",
    "connections that never finish their request": """
kept = []
for _ in range(20):
    if os.fork() == 0:
        while going_on():
            try:
                one = unix(); one.send(b"POST /v1/chat/completions HTTP/1.1\\r\\n"); kept.append(one)
            except OSError: time.sleep(0.05)
        os._exit(0)
while going_on(): time.sleep(1)
""",
    "62 MB of small JSON values": """
body = b'{"model":"m","messages":[{"role":"user","content":[' + b"0," * 31000000 + b"0]}]}"
while going_on(): ask(body)
""",
    "JSON nested 50,000 deep": """
body = b'{"model":"m","messages":' + b"[" * 50000 + b"]" * 50000 + b"}"
while going_on(): ask(body)
""",
    "bodies that stop half way": """
def one():
    while going_on():
        try:
            made = unix()
            made.send(b"POST /v1/chat/completions HTTP/1.1\\r\\nhost: x\\r\\n")
            made.send(b"content-length: 60000000\\r\\n\\r\\n" + b"[" * 1000)
            time.sleep(3)
        except OSError: time.sleep(0.05)
for _ in range(30): threading.Thread(target=one, daemon=True).start()
while going_on(): time.sleep(1)
""",
    "requests without a pause": """
while going_on(): ask(b"{}")
""",
    "NUL, lone surrogates and control characters": """
while going_on():
    ask(b'{"model":"m","messages":[{"role":"user","content":"\\\\ud800 \\\\u0000"}]}')
    ask({"model": "m", "messages": MESSAGES}, {"anthropic-beta": "\\xe9\\x01"})
    sys.stdout.write("a\\0b\\n"); sys.stdout.flush(); time.sleep(0.2)
""",
    "endless output": """
while going_on():
    os.write(1, b"x" * 65536); os.write(2, b"y" * 65536)
""",
    "processes without end": """
while going_on():
    try:
        if os.fork() == 0:
            time.sleep(5); os._exit(0)
    except OSError: time.sleep(0.1)
""",
    "memory and disk without end": """
number = 0
while going_on():
    number += 1
    if os.fork() == 0:
        kept = []
        while True: kept.append(bytearray(50000000))
    try: open("fill%d" % number, "wb").write(b"z" * 100000000)
    except OSError: pass
    try: os.wait()
    except OSError: pass
    time.sleep(0.5)
""",
    "a gigantic value under test": f"""
open("billing/__init__.py", "w").write({GIGANTIC_VALUE!r})
while going_on(): ask({{"model": "m", "messages": MESSAGES}}); time.sleep(1)
""",
}
"""By what they do."""


def script(attack: str) -> str:
    """The whole program of an attack."""
    return PREAMBLE + ATTACKS[attack]
