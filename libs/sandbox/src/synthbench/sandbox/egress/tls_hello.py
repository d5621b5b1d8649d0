"""The name that a TLS client asks for; OpenSSL reads its first message, nothing of our own does."""

import ssl

LONGEST = 16384 + 5  # bytes of a first message that fits one record; more is nobody's
_HANDSHAKE = 22


class NotTls(Exception):
    """These bytes do not begin a TLS connection."""


def server_name(hello: bytes) -> tuple[bool, str | None]:
    """Read the bytes that a client sent first.

    Returns:
        Whether its message is whole, and the name in it (server_name of RFC 6066), None where it has none.

    Raises:
        NotTls: it is something else.
    """
    if hello[:1] != bytes([_HANDSHAKE]) or len(hello) > LONGEST:
        raise NotTls
    seen: list[str | None] = []

    def on_server_name(_end: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int:
        seen.append(name)
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = on_server_name  # type: ignore[assignment]  # typeshed knows sockets only
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(hello)
    try:
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    except ssl.SSLWantReadError:
        return bool(seen), seen[0] if seen else None
    except ssl.SSLError as error:
        if not seen:
            raise NotTls from error
    return True, seen[0] if seen else None
