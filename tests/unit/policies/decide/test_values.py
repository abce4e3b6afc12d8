"""Values of policies as predicates."""

import pytest

from tulle.policies.decide.values import in_blocks, one_of_bytes, one_of_texts


@pytest.mark.parametrize(
    ("values", "fits", "does_not"),
    [
        (["GET", "PUT"], [b"GET", b"PUT"], [b"POST", b"get", b"GETS", b""]),
        (["/a*"], [b"/a", b"/a/b"], [b"/", b"b/a"]),
        (["*.css"], [b".css", b"/x.css"], [b"/x.css2"]),
        (["*"], [b"x"], [b""]),
        (["a*", "*z", "m"], [b"ab", b"yz", b"m"], [b"ma", b""]),
        (["m", "*"], [b"m", b"n"], [b""]),
    ],
)
def test_text(values: list[str], fits: list[bytes], does_not: list[bytes]) -> None:
    test = one_of_bytes(values)
    assert [value for value in fits if not test(value)] == []
    assert [value for value in does_not if test(value)] == []
    text = one_of_texts(values)
    assert all(text(value.decode()) for value in fits)
    assert not any(text(value.decode()) for value in does_not)


@pytest.mark.parametrize(
    ("blocks", "fits", "does_not"),
    [
        (["10.0.0.1"], ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.2", "::1"]),
        (["10.0.0.0/8"], ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "9.255.255.255"]),
        (["10.1.2.3/8"], ["10.9.9.9"], ["11.0.0.0"]),
        (["fd00::/8", "127.0.0.1"], ["fd12::1", "127.0.0.1"], ["fe00::", "127.0.0.2"]),
        (["::/0"], ["::1"], ["127.0.0.1"]),
    ],
)
def test_addresses(blocks: list[str], fits: list[str], does_not: list[str]) -> None:
    test = in_blocks(blocks)
    assert [address for address in fits if not test(address)] == []
    assert [address for address in does_not if test(address)] == []


def test_an_address_with_a_scope_counts_without_it() -> None:
    assert in_blocks(["fe80::/10"])("fe80::1%eth0")


def test_what_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="unix"):
        in_blocks(["10.0.0.1"])("unix")
