"""What hostile code tries against the egress proxy. Each is a Python script that prints WON when it has the secret.

`T` names the ports: `good` is where the one allowed host listens, `secret` is what nobody inside may read; `proxy` is
where the proxy is. The control is a forward proxy as one writes it in an hour.
"""

from dataclasses import dataclass

PRELUDE = """
import json, socket, ssl, sys
T = json.loads(sys.argv[1])

def talk(*parts, tls=None, wait=b""):
    "Send bytes to the proxy, one after the other; print WON if the secret comes back."
    with socket.create_connection(("127.0.0.1", T["proxy"]), 8) as client:
        client.settimeout(8)
        said = b""
        try:
            for part in parts:
                client.sendall(part.encode() if isinstance(part, str) else part)
                while wait and wait not in said:
                    more = client.recv(65536)
                    if not more:
                        break
                    said += more
                wait = b""
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                client = context.wrap_socket(client, server_hostname=tls)
                client.sendall(f"GET /vhost HTTP/1.1\\r\\nHost: {tls}\\r\\nConnection: close\\r\\n\\r\\n".encode())
            while more := client.recv(65536):
                said += more
        except OSError as error:
            said += str(error).encode()
    print("WON" if T["word"].encode() in said else "lost", said[-300:])

def get(url, host=None, extra="", body=""):
    host = host or url.split("/")[2]
    talk(f"GET {url} HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n{extra}\\r\\n{body}")

def tunnel(target, inner="GET / HTTP/1.0\\r\\n\\r\\n"):
    talk(f"CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n", inner, wait=b"\\r\\n\\r\\n")

good, secret = f"good.test:{T['good']}", T["secret"]
"""


@dataclass(frozen=True)
class Attack:
    """One attack; see the module."""

    name: str
    script: str


ALL = [
    Attack("another host", "get(f'http://other.test:{secret}/')"),
    Attack("another port of the allowed host", "get(f'http://good.test:{secret}/')"),
    Attack("a tunnel to another host", "tunnel(f'other.test:{secret}')"),
    Attack("a tunnel to another port", "tunnel(f'good.test:{secret}')"),
    Attack("an address", "get(f'http://127.0.0.1:{secret}/')"),
    Attack("an address as a number", "get(f'http://2130706433:{secret}/')"),
    Attack("an address in octal", "get(f'http://0177.0.0.1:{secret}/')"),
    Attack("an address in hexadecimal", "get(f'http://0x7f.1:{secret}/')"),
    Attack("the address of nobody", "get(f'http://0.0.0.0:{secret}/')"),
    Attack("an address of IPv6", "get(f'http://[::ffff:127.0.0.1]:{secret}/')"),
    Attack("a tunnel to an address", "tunnel(f'127.0.0.1:{secret}')"),
    Attack("an allowed name that stands for loopback", "get(f'http://localhost:{secret}/')"),
    Attack("a tunnel to an allowed name that stands for loopback", "tunnel(f'localhost:{secret}')"),
    Attack("a name below the allowed one's name", "get(f'http://good.test.other.test:{secret}/')"),
    Attack("a user before the host", "get(f'http://{good}@other.test:{secret}/')"),
    Attack("a host after a backslash", "get(f'http://other.test:{secret}\\\\@{good}/')"),
    Attack("the Host of another", "get(f'http://{good}/vhost', host='hidden.test')"),
    Attack("a second Host", "get(f'http://{good}/vhost', host='hidden.test', extra=f'Host: {good}\\r\\n')"),
    Attack("a Host that is folded", "get(f'http://{good}/vhost', host='hidden.test\\r\\n x')"),
    Attack("a second request on the same connection", """
        talk(f"GET http://{good}/ HTTP/1.1\\r\\nHost: {good}\\r\\n\\r\\n"
             f"GET http://{good}/vhost HTTP/1.1\\r\\nHost: hidden.test\\r\\nConnection: close\\r\\n\\r\\n")
    """),
    Attack("a request smuggled behind a length", """
        inner = f"GET /vhost HTTP/1.1\\r\\nHost: hidden.test\\r\\nConnection: close\\r\\n\\r\\n"
        talk(f"POST http://{good}/ HTTP/1.1\\r\\nHost: {good}\\r\\nContent-Length: 0\\r\\n"
             f"Transfer-Encoding : chunked\\r\\n\\r\\n{inner}")
    """),
    Attack("a request smuggled behind chunks", """
        inner = f"GET /vhost HTTP/1.1\\r\\nHost: hidden.test\\r\\nConnection: close\\r\\n\\r\\n"
        size = f"{len(inner):x}\\r\\n"
        talk(f"POST http://{good}/ HTTP/1.1\\r\\nHost: {good}\\r\\nTransfer-Encoding: chunked\\r\\n"
             f"Content-Length: {len(size)}\\r\\n\\r\\n{size}{inner}\\r\\n0\\r\\n\\r\\n")
    """),
    Attack("plain words in a tunnel for TLS", """
        tunnel("plain.test:443", "GET /vhost HTTP/1.1\\r\\nHost: hidden.test\\r\\nConnection: close\\r\\n\\r\\n")
    """),
    Attack("another name asked for by TLS", """
        asked = "CONNECT front.test:443 HTTP/1.1\\r\\nHost: front.test\\r\\n\\r\\n"
        talk(asked, tls="hidden.test", wait=b"\\r\\n\\r\\n")
    """),
]  # fmt: skip
