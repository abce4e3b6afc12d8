"""Values of AuthorizationPolicies as predicates: `exact`, `prefix*`, `*suffix`, `*`; addresses.

`*` is any value that is there: an empty one never matches, so an unauthenticated caller has no
principal that could.
"""

import ipaddress
from collections.abc import Callable, Sequence

TextTest = Callable[[str], bool]
ValueTest = Callable[[bytes], bool]


def one_of_texts(values: Sequence[str]) -> TextTest:
    """A test of a text against any of `values`; the empty text matches none."""
    test = one_of_bytes(values)
    return lambda text: test(text.encode())


def one_of_bytes(values: Sequence[str]) -> ValueTest:
    """As `one_of_texts`, of bytes."""
    encoded = [value.encode() for value in values]
    if b"*" in encoded:
        return bool
    exact = frozenset(v for v in encoded if v[:1] != b"*" and v[-1:] != b"*")
    suffixes = tuple(v[1:] for v in encoded if v[:1] == b"*")
    prefixes = tuple(v[:-1] for v in encoded if v[:1] != b"*" and v[-1:] == b"*")
    if not suffixes and not prefixes:
        return exact.__contains__
    if not exact and not suffixes:
        return lambda value: value.startswith(prefixes)
    return lambda v: v in exact or v.startswith(prefixes) or v.endswith(suffixes)


def in_blocks(blocks: Sequence[str]) -> TextTest:
    """A test of an address against addresses and CIDRs. ValueError: not an address.

    An IPv4 address that is mapped into IPv6 counts as IPv4.
    """
    ranges = [_range(block) for block in blocks]

    def holds(address: str) -> bool:
        version, number = _number(address)
        return any(v == version and first <= number <= last for v, first, last in ranges)

    return holds


def _range(block: str) -> tuple[int, int, int]:
    """(version, first, last) of a block; bits of the host are ignored, as in Istio."""
    network = ipaddress.ip_network(block, strict=False)
    return network.version, int(network.network_address), int(network.broadcast_address)


def _number(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.version, int(parsed)
