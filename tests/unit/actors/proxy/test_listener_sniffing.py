"""What the first bytes of a connection say."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.actors.proxy.sniffing import is_client_hello


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="reviews")
    with pytest.raises(ssl.SSLWantReadError):
        end.do_handshake()
    return outgoing.read()


def test_openssls_client_hello_is_known_at_its_sixth_byte() -> None:
    hello = client_hello()
    assert [is_client_hello(hello[:seen]) for seen in range(7)] == [None] * 6 + [True]


@pytest.mark.parametrize(
    "head",
    [
        b"G",
        b"PRI * ",
        b"\x16\x02",
        b"\x16\x03\x01\x00\x10\x02",  # a ServerHello
        b"\x15\x03\x03\x00\x02\x02",  # an alert
        b"\x80\x2e\x01\x03\x01",  # SSL 2
    ],
)
def test_anything_else_is_refused_as_soon_as_it_shows(head: bytes) -> None:
    assert is_client_hello(head) is False
    assert is_client_hello(head[:-1]) in (None, False)


@given(st.binary(max_size=8), st.binary(max_size=4))
def test_a_decision_stands_when_more_comes(head: bytes, more: bytes) -> None:
    decided = is_client_hello(head)
    assert decided is None or is_client_hello(head + more) is decided
