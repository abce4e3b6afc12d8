"""Accepts connections on a socket that the holder lent, and makes a transport of each.

Where TLS may come, the first bytes are looked at without being read (sniffing), and the rest is
OpenSSL's; whether plain talk is let in, the mode of the moment says. Counterparts:
actors.proxy.plane, which makes the protocols, and actors.holding, which owns the socket.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tulle.actors.proxy.hello import HELLO_BYTES, First
from tulle.actors.proxy.sniffing import Sniffing
from tulle.policies.decide.peers import Mode

Kind = Literal["outbound", "gateway", "inbound"]
ContextOf = Callable[[str], ssl.SSLContext | None]
"""By SNI (empty: none came) the TLS context of a handshake; None: it is refused."""

log = logging.getLogger(__name__)

ACCEPTS_PER_WAKE = 64
_OUT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a listener may hold. Beyond it connections wait in the accept queue.

    `open`: connections, from accept to close. `handshakes`: TLS handshakes under way.
    `undecided`: connections whose first bytes have not come; one more and the oldest is closed.
    Times in seconds; `retry`: after the process ran out of descriptors.
    """

    open: int = 10_000
    handshakes: int = 256
    undecided: int = 1_024
    sniff_seconds: float = 5.0
    handshake_seconds: float = 5.0
    retry_seconds: float = 0.1


class _Accepted(socket.socket):
    """A connection that says when it goes: asyncio closes it, uvloop detaches it.

    So the listener counts what is open without a word from the protocols.
    """

    __slots__ = ("on_gone",)
    on_gone: Callable[[], None] | None

    def close(self) -> None:
        self._gone()
        super().close()

    def detach(self) -> int:
        self._gone()
        return super().detach()

    def _gone(self) -> None:
        if (on_gone := getattr(self, "on_gone", None)) is not None:
            self.on_gone = None
            on_gone()


class Listener:
    """Accepts on `sock` from `start()` on. All methods belong to the running loop.

    `protocol_factory()` is asked for each connection, with the SNI when its handshake begins; its
    `connection_made` is called when the handshake is done. `context_of` is asked at each
    handshake: that is how certificates rotate. `mode()` is asked for each connection: STRICT lets
    in TLS alone, DISABLE plain talk alone; without a `context_of` all is plain, and unseen.
    `admits` is asked about each accepted connection; those that it refuses are closed at once.
    """

    def __init__(
        self,
        sock: socket.socket,
        kind: Kind,
        protocol_factory: Callable[..., asyncio.Protocol],
        context_of: ContextOf | None = None,
        limits: Limits | None = None,
        mode: Callable[[], Mode] = lambda: "STRICT",
        admits: Callable[[socket.socket], bool] = lambda connection: True,
    ) -> None:
        if kind != "gateway" and (kind == "inbound") != (context_of is not None):
            raise ValueError(f"kind {kind}: inbound ends TLS, a gateway may, and nothing else does")
        self._kind = kind
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._family = (sock.family, sock.type, sock.proto)
        self._protocol_factory = protocol_factory
        self._context_of = context_of
        self._mode = mode
        self._limits = limits or Limits()
        self._admits = admits
        self._sniffing = Sniffing(
            self._loop,
            self._limits.undecided,
            self._limits.sniff_seconds,
            self._on_first,
            with_name=kind == "gateway",
        )
        self._ready: deque[tuple[socket.socket, str]] = deque()  # TLS, waits for a handshake to end
        self._handovers: set[asyncio.Task[None]] = set()
        self._unowned: set[socket.socket] = set()  # handed over by a task that has not begun
        self._handshakes = 0
        self._reading = False
        self._stopped = True
        self._turning_away = False
        self._retry: asyncio.TimerHandle | None = None
        self.open = 0
        self.accepted = 0

    def start(self) -> None:
        """Begins to accept."""
        self._sock.setblocking(False)
        # Inherited by what is accepted.
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stopped = False
        self._read_again()

    def stop_accepting(self) -> None:
        """Takes what is queued and then no more; what was taken goes on."""
        if not self._stopped:
            self._accept(self._limits.open)
            self._stopped = True
            self._pause()

    def turn_away(self) -> None:
        """Takes what is queued; from then on who connects is closed at once, and tries another."""
        if not self._stopped:
            self._accept(self._limits.open)
            self._turning_away = True

    @property
    def undecided(self) -> int:
        """Connections that were accepted and have no protocol yet."""
        return len(self._sniffing) + len(self._ready) + len(self._handovers)

    def close(self) -> None:
        """Stops, closes this process's copy of the socket and all that has no protocol yet."""
        self._stopped = True
        self._pause()
        self._sock.close()
        self._sniffing.close()
        while self._ready:
            self._ready.popleft()[0].close()
        for handover in self._handovers:
            handover.cancel()
        while self._unowned:
            self._unowned.pop().close()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _read_again(self) -> None:
        self._retry = None
        if not self._stopped and not self._reading and not self._full():
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._accept, ACCEPTS_PER_WAKE)

    def _full(self) -> bool:
        busy = self._handshakes + len(self._ready)
        return self.open >= self._limits.open or busy >= self._limits.handshakes

    def _accept(self, most: int) -> None:
        for _ in range(most):
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as e:
                self._accept_failed(e)
                return
            self._take(connection)
            if self._full():
                self._pause()
                return

    def _accept_failed(self, e: OSError) -> None:
        self._pause()
        if e.errno in _OUT_OF:
            log.warning("accept: %s; again in %g s", e.strerror, self._limits.retry_seconds)
            self._retry = self._loop.call_later(self._limits.retry_seconds, self._read_again)
            return
        # EINVAL: the holder has taken the socket out of service.
        self._stopped = True
        if e.errno != errno.EINVAL:
            log.error("accept: %s; this listener ends", e.strerror)

    def _take(self, connection: socket.socket) -> None:
        if self._turning_away or not self._admits(connection):
            connection.close()
            return
        accepted = _Accepted(*self._family, connection.detach())
        accepted.setblocking(False)
        accepted.on_gone = self._gone
        self.open += 1
        self.accepted += 1
        if self._context_of is None or (self._kind == "gateway" and self._mode() == "DISABLE"):
            self._hand_over(accepted, None)
        else:
            self._sniffing.add(accepted)

    def _gone(self) -> None:
        self.open -= 1
        if not self._stopped and not self._reading and self._retry is None:
            self._read_again()

    def _on_first(self, connection: socket.socket, first: First) -> None:
        mode = self._mode()
        if first.tls and mode != "DISABLE":
            self._ready.append((connection, first.sni))
            self._shake_hands()
        elif not first.tls and mode != "STRICT":
            self._hand_over(connection, None)
        else:
            connection.close()

    def _shake_hands(self) -> None:
        assert self._context_of is not None
        while self._ready and self._handshakes < self._limits.handshakes:
            connection, sni = self._ready.popleft()
            context = self._context_of(sni)
            if context is None:
                _refuse_name(connection)
                continue
            self._handshakes += 1
            task = self._hand_over(connection, context, sni)
            task.add_done_callback(self._hands_shaken)
        if self._full():
            self._pause()

    def _hands_shaken(self, _: asyncio.Task[None]) -> None:
        self._handshakes -= 1
        if self._ready:
            self._shake_hands()
        self._read_again()

    def _hand_over(
        self, connection: socket.socket, context: ssl.SSLContext | None, sni: str = ""
    ) -> asyncio.Task[None]:
        self._unowned.add(connection)
        task = self._loop.create_task(self._connect(connection, context, sni))
        self._handovers.add(task)
        task.add_done_callback(self._handovers.discard)
        return task

    async def _connect(
        self, connection: socket.socket, context: ssl.SSLContext | None, sni: str
    ) -> None:
        seconds = None if context is None else self._limits.handshake_seconds
        self._unowned.discard(connection)
        try:
            protocol = self._protocol_factory(sni) if sni else self._protocol_factory()
        except BaseException:
            connection.close()
            raise
        # From here on the transport alone closes it: it does so later, when the number of the
        # descriptor could be another connection's if we closed it as well.
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=context, ssl_handshake_timeout=seconds
            )
        except OSError as e:
            # ssl.SSLError among them: a peer without a certificate of ours, or one that left.
            log.debug("no connection: %s", e)


_UNRECOGNIZED_NAME = bytes((0x15, 3, 3, 0, 2, 2, 112))
"""A fatal alert (RFC 6066, 3): there is no such server here."""


def _refuse_name(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.send(_UNRECOGNIZED_NAME)
        connection.recv(HELLO_BYTES)  # unread, it would reset the connection and lose the alert
    connection.close()
