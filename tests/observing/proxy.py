"""A wire to Redis that can be cut: at once, or after a request was heard and before its answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    """Where clients connect to instead. is_cut: nobody is served; drops_answers: requests arrive,
    and the line breaks before the answer.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self.is_cut = False
        self.drops_answers = False
        self.dropped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server, suppress(OSError):
            while not self.is_cut and (request := client.recv(65536)) and not self.is_cut:
                server.sendall(request)
                answer = server.recv(65536)
                if self.drops_answers and b"EXEC" in request:
                    self.dropped.set()
                    return
                client.sendall(answer)


@contextmanager
def wire_to(url: str) -> Iterator[Wire]:
    """A wire for the block."""
    wire = Wire(url)
    try:
        yield wire
    finally:
        wire.close()
