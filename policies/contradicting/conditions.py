"""What may stand in the conditions of AuthorizationPolicies: values, and attributes of `when`.

Each check says what is wrong, and gives the empty text when nothing is. Counterpart:
`authorization_policy.py`.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final

from tulle.policies.resources.meta import is_dns_label

ValueCheck = Callable[[str], str]
"""What is wrong with a value that is not empty; empty when it is right."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_BITS = re.compile(r"[0-9]{1,3}")


def wrong_text(value: str) -> str:
    """`exact`, `prefix*`, `*suffix`, `*`."""
    if "*" not in value or (value.count("*") == 1 and "*" in (value[0], value[-1])):
        return ""
    return f"* may stand once, at the beginning or at the end, not as in {value[:80]}"


def _principal(value: str) -> str:
    if value.startswith("spiffe://"):
        return f"is written without spiffe://: {value.removeprefix('spiffe://')[:80]}"
    return wrong_text(value)


def _account(value: str) -> str:
    namespace, slash, name = value.rpartition("/")
    if not name or "*" in value or (slash and not is_dns_label(namespace)):
        return "must be a service account, or namespace/account; there is no wildcard *"
    return ""


def _block(value: str) -> str:
    _, slash, bits = value.partition("/")
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        right = False
    else:
        right = not slash or _BITS.fullmatch(bits) is not None
    if not right:
        return f"must be an IP address or a CIDR like 10.0.0.0/8, not {value[:80]}"
    return ""


def wrong_port(value: str, least: int = 0) -> str:
    """A port as text, as Istio has it in rules and in `portLevelMtls`."""
    if not _PORT.fullmatch(value) or not least <= int(value) <= 65535:
        return f"must be a port from {least} to 65535, not {value[:80]}"
    return ""


def _path(value: str) -> str:
    # `{*}` and `{**}` are templates, which `supported.py` refuses.
    return wrong_text(value.replace("{**}", "").replace("{*}", "") or "/")


_POSITIVE: Final[Mapping[str, ValueCheck]] = {
    "principals": _principal,
    "requestPrincipals": wrong_text,
    "namespaces": wrong_text,
    "serviceAccounts": _account,
    "ipBlocks": _block,
    "remoteIpBlocks": _block,
    "trustDomains": wrong_text,
    "hosts": wrong_text,
    "ports": wrong_port,
    "methods": wrong_text,
    "paths": _path,
}
FIELDS: Final[Mapping[str, ValueCheck]] = {
    **_POSITIVE,
    **{f"not{name[0].upper()}{name[1:]}": check for name, check in _POSITIVE.items()},
}
"""Of the fields of `source` and `operation`."""

EXAMPLES: Final = {"source": "principals", "operation": "methods or paths"}
ATTRIBUTES: Final[Mapping[str, ValueCheck]] = {
    "source.ip": _block,
    "source.namespace": wrong_text,
    "source.principal": _principal,
    "source.serviceAccount": _account,
    "remote.ip": _block,
    "request.auth.principal": wrong_text,
    "request.auth.audiences": wrong_text,
    "request.auth.presenter": wrong_text,
    "destination.ip": _block,
    "destination.port": wrong_port,
    "connection.sni": wrong_text,
}
"""Of the values of a key of `when`; headers and claims are free text."""

_EXPERIMENTAL: Final = "experimental.envoy.filters."


def wrong_attribute(key: str) -> str:
    """A key of `when` that Istio knows, executed here or not."""
    if key in ATTRIBUTES:
        return ""
    name, bracket, inner = key.partition("[")
    named = name in ("request.headers", "request.auth.claims") or name.startswith(_EXPERIMENTAL)
    if bracket and named and inner.endswith("]") and len(inner) > 1:
        header = inner.removesuffix("]")
        if name != "request.headers" or _TOKEN.fullmatch(header.removeprefix(":")):
            return ""
        return f"{header[:80]} is not a valid name of a header"
    known = ", ".join((*ATTRIBUTES, "request.headers[NAME]", "request.auth.claims[NAME]"))
    return f"{key[:80]} is no attribute; known: {known}"
