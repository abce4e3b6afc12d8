"""Keys: every text is one token, with one spelling, and comes back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.bus import keys

TEXT = st.text(min_size=1, max_size=40)


@given(TEXT)
def test_any_text_is_one_token_and_comes_back(text: str) -> None:
    token = keys.encode_token(text)
    assert re.fullmatch(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+", token)
    assert keys.decode_token(token) == text


@given(TEXT, TEXT, TEXT)
def test_a_key_comes_back_in_parts(first: str, second: str, third: str) -> None:
    for key, kind, parts in (
        (keys.HOSTS, keys.KeyKind.HOSTS, ()),
        (keys.LEADER, keys.KeyKind.LEADER, ()),
        (keys.EPOCH, keys.KeyKind.EPOCH, ()),
        (keys.outbound(first), keys.KeyKind.OUTBOUND, (first,)),
        (keys.inbound(first), keys.KeyKind.INBOUND, (first,)),
        (keys.gateway(first), keys.KeyKind.GATEWAY, (first,)),
        (keys.service(first, second), keys.KeyKind.SERVICE, (first, second)),
        (keys.document(first, second, third), keys.KeyKind.DOCUMENT, (first, second, third)),
        (keys.workload(first), keys.KeyKind.WORKLOAD, (first,)),
        (keys.pool(first), keys.KeyKind.POOL, (first,)),
        (keys.log(7), keys.KeyKind.LOG, ("7",)),
    ):
        assert keys.parse_key(key) == keys.Key(kind, parts)
        assert str(keys.parse_key(key)) == key


def test_a_host_with_dots_and_a_wildcard_is_one_token() -> None:
    assert keys.outbound("*.example.com") == "outbound.=2A=2Eexample=2Ecom"


@pytest.mark.parametrize("token", ["", "a.b", "=4", "=41", "=2e", "=FF", "ü", "a*", "=", "a b"])
def test_a_token_in_another_spelling_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        keys.decode_token(token)


@pytest.mark.parametrize("key", ["", "unknown.a", "hosts.a", "outbound", "service.a", "outbound."])
def test_what_is_not_a_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        keys.parse_key(key)
