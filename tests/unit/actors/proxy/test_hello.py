"""What the first bytes of a connection say."""

import ssl
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.actors.proxy.hello import NOT_TLS, TLS, First, is_client_hello, read_first, server_name


@cache
def client_hello(name: str | None = "reviews") -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    end = context.wrap_bio(incoming, outgoing, server_hostname=name)
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


@pytest.mark.parametrize("name", ["reviews", "WWW.Example.com", "a" * 63 + ".example"])
def test_the_name_of_the_server_is_told_once_the_hello_is_whole(name: str) -> None:
    hello = client_hello(name)
    assert read_first(hello, with_name=True) == First(True, name.lower())
    assert read_first(hello[:-1], with_name=True) is None
    assert read_first(hello[:6], with_name=False) == TLS


def test_a_hello_without_a_name_and_what_is_no_hello() -> None:
    assert read_first(client_hello(None), with_name=True) == TLS
    assert read_first(b"GET /", with_name=True) == NOT_TLS
    assert read_first(b"", with_name=True) is None


@given(st.binary(max_size=300), st.integers(0, 600))
def test_a_broken_hello_has_some_name_or_none_and_never_fails(noise: bytes, cut: int) -> None:
    hello = client_hello()[5:]
    assert isinstance(server_name(noise), str)
    assert isinstance(server_name(hello[:cut] + noise), str)
    assert server_name(hello + noise) == "reviews"


@pytest.mark.parametrize(
    "junk", [b"a b 200", b'a"\n"b_c', b"\xffeviews", b"a\x00views", b"[::1]:8"]
)
def test_what_is_no_name_is_none(junk: bytes) -> None:
    hello = client_hello()[5:]
    assert server_name(hello.replace(b"reviews", b"Re-v_ew")) == "re-v_ew"
    assert server_name(hello.replace(b"reviews", junk)) == ""
