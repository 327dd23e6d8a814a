"""A heartbeat between the ranks of a job: whether each is alive, and why one of them ends."""

from __future__ import annotations

import json
import os
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from adc.errors import describe
from adc.training.sockets import Address, close_in_forks, open_connection, open_server

LINGER = 1.0
"""Seconds for which a rank that ends the job waits until the others have read why."""

BEATS = 10
"""Beats within the time after which a silent rank counts as lost."""

LONGEST_LINE, LONGEST_MESSAGE = 2000, 65536


@dataclass(eq=False)
class Peer:
    """What a rank knows of another one."""

    last_sign: float
    rank: int | None = None
    host: str = ""
    process: int = 0
    connection: socket.socket | None = None
    left: bool = False
    closed: bool = False
    received: bytes = b""
    pending: bytes = b""

    @property
    def place(self) -> str:
        """``rank 1 on HOST``."""
        return f"rank {self.rank} on {self.host}" if self.host else f"rank {self.rank}"


class Monitor:
    """One rank's share of the heartbeat: a thread that beats, listens to the others and ends the process without them.

    Rank 0 is connected with each other rank, over sockets that nothing else uses. Each side beats ten times within
    the timeout. A rank counts as lost when its connection closes without a goodbye (its process has died) or when
    nothing has come from it for the timeout (it is stopped, or the link is cut). Rank 0 passes on to all what it
    finds or is told, so all end with the same line: ``rank 1 on HOST: CAUSE``. A rank counts from its `connect` on.

    The beat comes from a thread, so that a step may take as long as it likes. What holds Python's interpreter lock for
    longer than the timeout silences a rank and ends the job: the timeout has to be longer. Time in which this process
    itself did not run is not counted against the others.
    """

    def __init__(self, rank: int, ranks: int, timeout: float, end: Callable[[str], None]) -> None:
        """
        Args:
            rank: This process's rank.
            ranks: How many there are.
            timeout: Seconds of silence after which a rank counts as lost.
            end: Called once, in the monitor's thread, with the line that names rank, host and cause; it ends the
                process.

        Raises:
            ValueError: If the timeout is not above 0.
        """
        if not timeout > 0:
            raise ValueError(f"timeout: {timeout} s; a heartbeat needs more than 0.")
        self.rank, self.timeout, self.host = rank, timeout, socket.gethostname()
        self._end_process, self._interval = end, timeout / BEATS
        now = time.monotonic()
        self._peers = [Peer(now, other) for other in (range(1, ranks) if rank == 0 else (0,))]
        self._selector = selectors.DefaultSelector()
        self._waking, self._wake = socket.socketpair()
        self._server: socket.socket | None = None
        self._token = ""
        self._register(self._waking, None)
        close_in_forks(self._wake)
        self._thread = threading.Thread(target=self._run, name="adc-heartbeat", daemon=True)
        self._requests: list[tuple[str, str]] = []
        self._published = threading.Event()
        self._quiet = self._finished = self._goodbye = self._collective_failed = False
        self._deadline: tuple[float, str] | None = None
        self._last_word: dict[str, Any] | None = None

    @property
    def place(self) -> str:
        """This rank and its host."""
        return f"rank {self.rank} on {self.host}"

    def listen(self, host: str | None = None) -> Address:
        """Begin as rank 0.

        Args:
            host: The name by which the other ranks know this host; a name of the loopback is opened to this host only.

        Raises:
            OSError: If no port can be opened.
        """
        self._server, address = open_server(host)
        self._token = address.token
        self._register(self._server, None)
        self._thread.start()
        return address

    def connect(self, address: Address) -> None:
        """Begin as another rank.

        Args:
            address: What rank 0's `listen` returned.

        Raises:
            ConnectionError: If rank 0 cannot be reached within the timeout.
        """
        (peer,) = self._peers
        peer.host, peer.process, limit = address.host, address.process, time.monotonic() + self.timeout
        while (connection := open_connection(address, limit - time.monotonic())) is None:
            if time.monotonic() > limit:
                place = f"{' or '.join(address.names)}, port {address.port}"
                raise ConnectionError(f"heartbeat: {self.place} cannot reach rank 0 at {place} in {self.timeout:g} s.")
            time.sleep(min(self._interval, 1.0))
        connection.setblocking(False)
        peer.connection, peer.last_sign = connection, time.monotonic()
        self._register(connection, peer)
        hello = {"kind": "hello", "token": address.token, "rank": self.rank, "host": self.host, "process": os.getpid()}
        self._send([peer], hello)
        self._thread.start()

    def fail(self, cause: str) -> None:
        """Let the others end with this rank's failure; returns when they know, and leaves this process alone.

        A process that has not ended after the timeout is ended.
        """
        self._request("fail", f"{self.place}: {cause}"[:LONGEST_LINE])
        self._published.wait(2 * LINGER)

    def stop(self, cause: str) -> None:
        """Announce that this rank stops on request; others that have not stopped after the timeout end with a line."""
        self._request("stop", f"{self.place}: {cause}"[:LONGEST_LINE])
        self._published.wait(LINGER)

    def await_verdict(self, seconds: float) -> None:
        """Wait after a collective has failed: the process ends within the wait if another rank is the reason."""
        self._request("failed collective", "")
        self._thread.join(seconds)

    def leave(self) -> None:
        """Say goodbye at an orderly end; rank 0 waits until every other rank has done so or is lost."""
        self._request("leave", "")
        self._thread.join()

    def _request(self, kind: str, line: str) -> None:
        self._requests.append((kind, line))
        try:
            self._wake.send(b"!")
        except OSError:
            self._published.set()  # the thread has ended

    def _run(self) -> None:
        try:
            self._watch()
        except Exception as error:
            self._end_process(f"{self.place}: the heartbeat failed: {describe(error)}")
        finally:
            self._published.set()
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
            self._wake.close()
            self._selector.close()

    def _watch(self) -> None:
        last = next_beat = time.monotonic()
        while not self._finished:
            now = time.monotonic()
            if now - last > 2 * self._interval:  # this process did not run
                for peer in self._peers:
                    peer.last_sign += now - last - self._interval
            last = now
            if now >= next_beat:
                self._send(self._peers, {"kind": "beat"})
                next_beat = now + self._interval
            self._receive(max(next_beat - now, 0.0))
            while self._requests and not self._finished:
                self._serve(*self._requests.pop(0))
            if not self._finished:
                self._check(now)

    def _receive(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._waking:
                self._waking.recv(4096)
            elif key.fileobj is self._server:
                self._accept()
            else:
                self._read(key.data)

    def _serve(self, kind: str, line: str) -> None:
        """Do what the main thread asks for."""
        if kind == "failed collective":
            self._collective_failed = True
        elif kind == "leave":
            self._say_goodbye()
        elif not self._quiet:
            self._quiet, self._collective_failed = True, False
            self._deadline = time.monotonic() + self.timeout, line
            self._last_word = {"kind": "end" if kind == "fail" else "stop", "rank": self.rank, "line": line}
            self._send(self._peers, self._last_word)
            if kind == "fail":
                self._linger()
            self._published.set()

    def _say_goodbye(self) -> None:
        self._goodbye = True
        self._send(self._peers, {"kind": "bye"})
        if self.rank:
            self._quiet = True
            (peer,) = self._peers
            if peer.connection is not None:
                with suppress(OSError):  # rank 0 may have ended
                    peer.connection.shutdown(socket.SHUT_WR)
            self._linger()
            self._finished = True

    def _check(self, now: float) -> None:
        """End the process if a rank is lost; rank 0 is done when all have said goodbye."""
        if self._deadline is not None and (now > self._deadline[0] or self._collective_failed):
            self._conclude(self._deadline[1], None)
        if self._quiet or self._finished:
            return
        began = (peer for peer in self._peers if peer.process and not peer.left)
        lost = next((peer for peer in began if now - peer.last_sign > self.timeout), None)
        if lost is not None:
            why = f"its process ({lost.process}) is stopped, or the link to it is cut"
            self._conclude(f"{lost.place}: not heard of for {self.timeout:g} s: {why}", lost.rank)
        elif self._goodbye and all(peer.left for peer in self._peers):
            self._finished = True

    def _conclude(self, line: str, rank: int | None, source: Peer | None = None) -> None:
        """Pass on why the job ends, then end this process.

        Args:
            line: Rank, host and cause.
            rank: The rank that is lost.
            source: Who said so, if it was not found here.
        """
        self._last_word = {"kind": "end", "rank": rank, "line": line}
        self._send([peer for peer in self._peers if peer is not source], self._last_word)
        self._finished, self._quiet = True, True
        for peer in self._peers:
            if peer is source or peer.rank == rank:  # need not be waited for
                self._drop(peer)
        if rank == self.rank:
            line = f"{self.place} was given up by the others, which have ended: {line}"
        if self.rank == 0:
            self._linger()
        self._end_process(line)

    def _linger(self) -> None:
        """Wait until the others have closed their connections, for a short while."""
        limit = time.monotonic() + LINGER
        while not all(peer.closed for peer in self._peers) and (rest := limit - time.monotonic()) > 0:
            self._receive(min(rest, LINGER / 10))
            self._send(self._peers, None)

    def _take(self, peer: Peer, message: dict[str, Any]) -> None:
        """Act on a message."""
        peer.last_sign, kind = time.monotonic(), message["kind"]
        if kind == "bye":
            peer.left = True
            if self.rank == 0:
                self._drop(peer)
        elif self._quiet:
            pass
        elif kind == "end":
            self._conclude(message["line"], message["rank"], peer)
        elif kind == "stop":
            peer.left = peer.left or message["rank"] == peer.rank
            self._deadline = self._deadline or (time.monotonic() + self.timeout, message["line"])
            self._send([other for other in self._peers if other is not peer], message)

    def _welcome(self, unknown: Peer, message: dict[str, Any]) -> Peer:
        """The rank that a connection is of; one without the secret is closed."""
        known = next((peer for peer in self._peers if peer.rank == message["rank"]), unknown)
        genuine = secrets.compare_digest(str(message["token"]), self._token)
        if unknown.connection is None or known.connection is not None or known.closed or not genuine:
            self._drop(unknown)
            return unknown
        known.host, known.process, known.connection = message["host"], message["process"], unknown.connection
        known.last_sign, known.received = time.monotonic(), unknown.received
        self._selector.modify(unknown.connection, selectors.EVENT_READ, known)
        self._send([known], self._last_word)
        return known

    def _accept(self) -> None:
        assert self._server is not None
        with suppress(OSError):  # gone again
            connection, _ = self._server.accept()
            connection.setblocking(False)
            self._register(connection, Peer(time.monotonic(), connection=connection))

    def _read(self, peer: Peer) -> None:
        if peer.connection is None:
            return
        try:
            received = peer.connection.recv(LONGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        *lines, peer.received = (peer.received + received).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
                if peer.rank is None:
                    peer = self._welcome(peer, message)
                else:
                    self._take(peer, message)
            except (ValueError, KeyError, TypeError):  # no rank of this job
                self._drop(peer)
        if not received or len(peer.received) > LONGEST_MESSAGE:
            self._closed(peer)

    def _closed(self, peer: Peer) -> None:
        """A connection has ended: without a goodbye, so has the process behind it."""
        self._drop(peer)
        if peer.rank is not None and not (peer.left or self._quiet or self._finished):
            self._conclude(f"{peer.place}: its process ({peer.process}) has died", peer.rank)

    def _drop(self, peer: Peer) -> None:
        peer.closed = True
        if peer.connection is not None:
            self._selector.unregister(peer.connection)
            peer.connection.close()
            peer.connection = None

    def _register(self, own: socket.socket, peer: Peer | None) -> None:
        close_in_forks(own)
        self._selector.register(own, selectors.EVENT_READ, peer)

    def _send(self, peers: Iterable[Peer], message: dict[str, Any] | None) -> None:
        """Send a message, or what is left of earlier ones; never waits."""
        data = b"" if message is None else json.dumps(message).encode() + b"\n"
        for peer in peers:
            if peer.connection is not None and (peer.pending or data):
                peer.pending += data
                with suppress(OSError):  # full, or closed: reading says which
                    peer.pending = peer.pending[peer.connection.send(peer.pending) :]
