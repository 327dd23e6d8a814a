"""Sockets between the ranks of a job: how one is opened, reached, and kept from data workers."""

from __future__ import annotations

import os
import secrets
import socket
import weakref
from contextlib import suppress
from typing import NamedTuple

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_own: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def close_in_forks(own: socket.socket) -> None:
    """Close the copies of a socket that data workers inherit: they would hold it open when its rank dies."""
    _own.add(own)


def _close_copies() -> None:
    for own in list(_own):
        own.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)


class Address(NamedTuple):
    """Where rank 0 listens: its host and process, names to reach it by, the port, a secret that every rank knows."""

    host: str
    process: int
    names: list[str]
    port: int
    token: str


def open_server(host: str | None) -> tuple[socket.socket, Address]:
    """A server on a free port, and where it is.

    Args:
        host: The name by which other ranks know this host; a name of the loopback is opened to this host only.

    Raises:
        OSError: If no port can be opened.
    """
    server = socket.create_server(("127.0.0.1", 0)) if host in LOOPBACK else _open_to_all()
    own = socket.gethostname()
    names = [host, own] if host else [own, "localhost"]
    return server, Address(own, os.getpid(), names, server.getsockname()[1], secrets.token_hex(16))


def _open_to_all() -> socket.socket:
    """A server on a free port of all interfaces, of IPv6 too where there is one."""
    if socket.has_dualstack_ipv6():
        with suppress(OSError):
            return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def open_connection(address: Address, seconds: float) -> socket.socket | None:
    """A connection to a server; None if it cannot be reached.

    Args:
        address: Where the server is.
        seconds: How long to try.
    """
    for name in address.names:
        with suppress(OSError):
            return socket.create_connection((name, address.port), timeout=max(seconds / len(address.names), 0.1))
    return None
