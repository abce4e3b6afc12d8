"""Tickets: the supervisor's word to the authority that a proxy may have an identity.

Made by the supervisor at a proxy's spawn, shown by the proxy with each CSR, verified by the
authority; both read the same key (`ticket.key`). A ticket is
`base64url(json) + "." + base64url(HMAC-SHA256)`, the MAC over the first part as written.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

import orjson

KEY_BYTES: Final = 32
LIFETIME_SECONDS: Final = 10 * 365 * 86_400.0
"""As long as the root: a proxy renews with the ticket of its spawn for as long as it runs."""
CLOCK_SKEW_SECONDS: Final = 60.0
_LONGEST: Final = 4096


class TicketRefused(Exception):
    """A ticket that proves nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The proxy `proxy` may be service account `account` of `namespace`; `issued`: Unix time.

    `pool`: of a gateway. `nonce`: random; tells tickets of one moment apart.
    """

    proxy: str
    namespace: str
    account: str
    issued: float
    pool: str = ""
    nonce: str = ""


def make_ticket(key: bytes, ticket: Ticket) -> str:
    """The ticket as text, of `[A-Za-z0-9_.-]` alone."""
    fields = {
        "proxy": ticket.proxy,
        "namespace": ticket.namespace,
        "account": ticket.account,
        "issued": ticket.issued,
        "pool": ticket.pool,
        "nonce": ticket.nonce,
    }
    body = _encode(orjson.dumps(fields))
    return f"{body}.{_mac(key, body)}"


def verify_ticket(key: bytes, text: str, now: float) -> Ticket:
    """The ticket in `text`, made with `key` and in force at `now`. Raises `TicketRefused`."""
    body, dot, mac = text.partition(".")
    if len(text) > _LONGEST or not dot:
        raise TicketRefused("it is not a ticket")
    if not hmac.compare_digest(mac.encode(), _mac(key, body).encode()):
        raise TicketRefused("it was not made by this mesh's supervisor")
    ticket = _parse(body)
    if ticket.issued > now + CLOCK_SKEW_SECONDS:
        raise TicketRefused("it is from the future: compare the clocks")
    if ticket.issued + LIFETIME_SECONDS <= now:
        raise TicketRefused("it has expired")
    return ticket


def _parse(body: str) -> Ticket:
    try:
        fields = orjson.loads(_decode(body))
        return Ticket(
            proxy=str(fields["proxy"]),
            namespace=str(fields["namespace"]),
            account=str(fields["account"]),
            issued=float(fields["issued"]),
            pool=str(fields["pool"]),
            nonce=str(fields["nonce"]),
        )
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise TicketRefused("its content is not a ticket's") from None


def _mac(key: bytes, body: str) -> str:
    return _encode(hmac.digest(key, body.encode(), hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
