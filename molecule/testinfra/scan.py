# SPDX-License-Identifier: GPL-3.0-or-later
"""Every TCP port of a host, asked from outside."""

from __future__ import annotations

import errno
import socket
import struct

#: Ports that may stay silent before the host is taken for one that cannot be scanned from here.
SILENT = 5


def open_ports(address: str) -> set[int]:
    """The ports that take a connection. A host one hop away refuses the others at once: it takes about a second."""
    found, silent = set(), []
    sock = _ready()
    for port in range(1, 65536):
        # One call a port: a socket that was refused can ask again, and the timeout is the kernel's.
        error = sock.connect_ex((address, port))
        if error == errno.ECONNREFUSED:
            continue
        if error:
            silent.append((port, errno.errorcode[error]))
            assert len(silent) <= SILENT, f"{address} neither takes nor refuses {silent}"
        else:
            found.add(port)
        sock.close()
        sock = _ready()
    sock.close()
    return found


def _ready() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 2, 0))
    return sock
