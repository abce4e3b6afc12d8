"""Which key each proxy's ticket is bound to: the first that it was shown with. Pure.

A stolen ticket is of no use once its proxy has shown it: a request must come with the bound key, or
be signed by it, which is how a renewal brings a new key. A newer ticket of the same proxy, which
only the supervisor can make (at a respawn), is bound anew and ends the older one.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict

from tulle.actors.authority.tickets import Ticket, TicketRefused

MOST: Final = 20_000


class Binding(BaseModel):
    """The ticket of a proxy, by its `issued` and `nonce`, and `key`: `key_hash` of its key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    pool: str
    issued: float
    nonce: str
    key: str


class BindingsFile(BaseModel):
    """`bindings.json`: bindings by proxy."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    v: int = 1
    proxies: dict[str, Binding] = {}


@dataclass(frozen=True, slots=True)
class Bindings:
    """All bindings, by proxy; a change makes a new value."""

    proxies: Mapping[str, Binding] = field(default_factory=dict)
    most: int = MOST

    @property
    def full(self) -> bool:
        """Whether no proxy more can be bound."""
        return len(self.proxies) >= self.most

    def admit(self, ticket: Ticket, key: str, proven: str) -> "Bindings":
        """With `ticket` bound to `key`; `proven`: the hash of the key that signed for it, or "".

        Raises `TicketRefused` when it is bound to another.
        """
        bound = self.proxies.get(ticket.proxy)
        if bound is None and self.full:
            raise TicketRefused(f"{self.most} proxies have certificates, which is the limit")
        if bound is not None:
            _check(bound, ticket, key, proven)
        binding = Binding(pool=ticket.pool, issued=ticket.issued, nonce=ticket.nonce, key=key)
        if binding == bound:
            return self
        return Bindings({**self.proxies, ticket.proxy: binding}, self.most)

    def without(self, gone: Collection[str]) -> "Bindings":
        """Without those of proxies that are no more."""
        kept = {proxy: one for proxy, one in self.proxies.items() if proxy not in gone}
        return Bindings(kept, self.most)


def key_hash(key: ec.EllipticCurvePublicKey) -> str:
    """The SHA-256 of the key's SubjectPublicKeyInfo, in hex."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def _check(bound: Binding, ticket: Ticket, key: str, proven: str) -> None:
    shown, known = (ticket.issued, ticket.nonce), (bound.issued, bound.nonce)
    if shown < known:
        raise TicketRefused("a newer ticket of this proxy was shown: it was started again")
    if shown == known and bound.key not in (key, proven):
        raise TicketRefused(
            "the ticket is bound to the key that it was first shown with, which has not signed "
            "this request: if the proxy's folder is lost, start the workload again"
        )
