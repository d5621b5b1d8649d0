"""A port that was found free stays free for the server it is for."""

import socket
import sys

import pytest

from synthbench.embedded.children import free_port


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a bound port be listened on by another")
def test_it_is_ours_and_can_be_listened_on_again_and_again():
    port = free_port()
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port))
    for _ in range(2):
        with (
            socket.create_server(("127.0.0.1", port)) as server,
            socket.create_connection(("127.0.0.1", port)) as client,
        ):
            accepted, _ = server.accept()
            with accepted:
                assert client.getpeername()[1] == port
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", port))
