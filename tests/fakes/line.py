"""A TCP relay in front of Valkey: what a socket carries, counted where it is carried."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from shared.edge import store

SCRIPTS: Final = {store.Script(path.stem).digest: path.stem for path in Path(store.__file__).parent.glob("*.lua")}


class Line:
    """Keeps what is said, a round trip each, and can hold back, spoil or cut what comes back."""

    def __init__(self, port: int) -> None:
        self.said: list[bytes] = []
        self.connections = 0
        self.flows = threading.Event()
        self.flows.set()
        self.spoil = False
        self._target = port
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def names(self) -> list[str]:
        """Say what each round trip was: the name of the script, or of the command."""
        return [_name(said.split(b"\r\n")) for said in self.said]

    def cut(self) -> None:
        """Break every open connection."""
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def stop(self) -> None:
        """Refuse connections from now on, and break the open ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.flows.set()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                self.connections += 1
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=(source, sink, source is near), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, outwards: bool) -> None:  # noqa: FBT001 - a thread's
        with suppress(OSError), source, sink:
            while data := source.recv(65536):
                if outwards:
                    self.said.append(data)
                else:
                    self.flows.wait(30)
                    data = b"?spoiled\r\n" if self.spoil else data
                sink.sendall(data)


def _name(parts: list[bytes]) -> str:
    """Name a packed command: `*3 $7 EVALSHA $40 <digest> ...`."""
    command = parts[2].decode()
    return SCRIPTS[parts[4].decode()] if command == "EVALSHA" else command
