# SPDX-License-Identifier: GPL-3.0-or-later
"""A load balancer in front of a proxy: it passes connections on, each behind a PROXY header (version 1)."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import Any


class _Handler(socketserver.BaseRequestHandler):
    server: Front

    def handle(self) -> None:
        front = self.server
        with contextlib.suppress(OSError), socket.create_connection(front.target, timeout=30) as proxy:
            port = proxy.getsockname()[1]
            proxy.sendall(f"PROXY TCP4 {front.client} {front.target[0]} {port} {front.target[1]}\r\n".encode())
            there = threading.Thread(target=_pump, args=(self.request, proxy), daemon=True)
            there.start()
            _pump(proxy, self.request)
            there.join(timeout=5)


def _pump(source: Any, sink: Any) -> None:
    """Bytes from one socket to the other until either ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


class Front(socketserver.ThreadingTCPServer):
    """Listens on a free port of loopback; says of every connection that it comes from ``client``."""

    daemon_threads = True

    def __init__(self, target: tuple[str, int], client: str) -> None:
        self.target, self.client = target, client
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])
