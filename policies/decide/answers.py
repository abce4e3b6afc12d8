"""Answers that a policy gives by itself: redirects and direct responses, as closures.

The response edits of the route are in them already.
"""

import base64
from collections.abc import Callable

from tulle.policies.config import DirectResponse, HeaderEdits, Redirect
from tulle.policies.decide.headers import compile_request_edits
from tulle.policies.decide.plan import Asked, LocalAnswer
from tulle.policies.decide.rewrites import RewritePath, replace_path, replace_prefix

Answer = Callable[[Asked], LocalAnswer]

_DEFAULT_PORTS = {"http": 80, "https": 443}


def compile_direct(direct: DirectResponse, edits: HeaderEdits | None) -> Answer:
    """The same answer for all; a body is plain text unless the edits say otherwise."""
    body = base64.b64decode(direct.body)
    headers = [(b"content-type", b"text/plain")] if body else []
    edit = compile_request_edits([edits])
    answer = LocalAnswer(direct.status, tuple(edit(headers) if edit else headers), body)
    return lambda asked: answer


def compile_redirect(redirect: Redirect, edits: HeaderEdits | None) -> Answer:
    """An answer without a body, whose location is the request's URL but for what is redirected."""
    new_path = _path(redirect)
    edit = compile_request_edits([edits])

    def answer(asked: Asked) -> LocalAnswer:
        scheme = redirect.scheme or asked.scheme
        authority = _authority(redirect, scheme, asked)
        path = asked.path if new_path is None else new_path(asked.path)
        headers = [(b"location", b"%b://%b%b" % (scheme.encode(), authority, path))]
        return LocalAnswer(redirect.code, tuple(edit(headers) if edit else headers))

    return answer


def _path(redirect: Redirect) -> RewritePath | None:
    value = redirect.path.encode()
    if redirect.prefix:
        return replace_prefix(redirect.prefix.encode(), value)
    return replace_path(value) if value else None


def _authority(redirect: Redirect, scheme: str, asked: Asked) -> bytes:
    """Host and port; a port that is the scheme's own is not written."""
    given = redirect.authority.encode() or asked.authority
    host, port = split_authority(given)
    default = _DEFAULT_PORTS.get(scheme, 0)
    if redirect.port:
        port = redirect.port
    elif redirect.derive_port == "FROM_REQUEST_PORT":
        port = asked.port
    elif redirect.derive_port == "FROM_PROTOCOL_DEFAULT":
        port = default
    elif redirect.authority:
        return given
    elif port == _DEFAULT_PORTS.get(asked.scheme):
        port = default  # http://a:80 -> https://a, not https://a:80
    return host if port in (0, default) else b"%b:%d" % (host, port)


def split_authority(authority: bytes) -> tuple[bytes, int]:
    """`a:80` -> (`a`, 80), `[::1]` -> (`[::1]`, 0): the port is 0 when there is none."""
    host, colon, port = authority.rpartition(b":")
    if not colon or not port.isdigit() or len(port) > 5:
        return authority.removesuffix(b":"), 0
    return host, int(port)
