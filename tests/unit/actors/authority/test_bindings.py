"""To which key a ticket is bound, and what moves the binding."""

from dataclasses import replace

import pytest

from tulle.actors.authority.bindings import Bindings
from tulle.actors.authority.tickets import Ticket, TicketRefused

TICKET = Ticket("reviews-v1-abcde", "default", "reviews", 1000.0, nonce="n")


def refused(bindings: Bindings, ticket: Ticket, key: str, proven: str = "") -> str:
    with pytest.raises(TicketRefused) as refusal:
        bindings.admit(ticket, key, proven)
    return str(refusal.value)


def test_the_first_key_is_bound() -> None:
    bindings = Bindings().admit(TICKET, "first", "")
    assert bindings.admit(TICKET, "first", "") is bindings, "nothing is to be written"
    assert "bound to the key" in refused(bindings, TICKET, "second")
    assert "bound to the key" in refused(bindings, TICKET, "second", proven="other")


def test_a_renewal_signed_by_the_bound_key_moves_it() -> None:
    bindings = Bindings().admit(TICKET, "first", "").admit(TICKET, "second", "first")
    assert refused(bindings, TICKET, "first")
    assert refused(bindings, TICKET, "third", proven="first")
    assert bindings.admit(TICKET, "third", "second").proxies[TICKET.proxy].key == "third"


@pytest.mark.parametrize("newer", [{"issued": 1001.0}, {"nonce": "o"}])
def test_a_newer_ticket_is_bound_anew_and_ends_the_older(newer: dict[str, object]) -> None:
    respawned = replace(TICKET, **newer)  # type: ignore[arg-type]
    bindings = Bindings().admit(TICKET, "first", "").admit(respawned, "second", "")
    assert "newer ticket" in refused(bindings, TICKET, "first")
    assert "newer ticket" in refused(bindings, TICKET, "second", proven="second")
    assert refused(bindings, respawned, "first")


def test_proxies_do_not_know_each_other() -> None:
    other = replace(TICKET, proxy="ratings-v1-abcde")
    bindings = Bindings().admit(TICKET, "first", "").admit(other, "first", "")
    assert set(bindings.proxies) == {TICKET.proxy, other.proxy}
    assert set(bindings.without({TICKET.proxy}).proxies) == {other.proxy}


def test_there_is_a_bound() -> None:
    full = Bindings(most=1).admit(TICKET, "first", "")
    assert full.full
    assert "limit" in refused(full, replace(TICKET, proxy="another"), "key")
    assert full.admit(TICKET, "second", "first").full, "who is known renews"
    assert full.without({TICKET.proxy}).most == 1
