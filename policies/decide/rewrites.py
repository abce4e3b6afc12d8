"""Rewrites of a path, with its query left as it came, as functions on bytes."""

from collections.abc import Callable

from tulle.policies.config import Rewrite
from tulle.policies.regex import compile_substitution

RewritePath = Callable[[bytes], bytes]
"""A path with its query -> another with the same query."""


def compile_path_rewrite(rewrite: Rewrite | None) -> RewritePath | None:
    """None when the path stays as it is."""
    if rewrite is None or not rewrite.kind:
        return None
    match rewrite.kind:
        case "full":
            return replace_path(rewrite.value.encode())
        case "prefix":
            return replace_prefix(rewrite.pattern.encode(), rewrite.value.encode())
        case "regex":
            return _replace_matches(compile_substitution(rewrite.pattern, rewrite.value))


def replace_path(value: bytes) -> RewritePath:
    """All of the path. A `value` with a query of its own is all of the result."""
    if b"?" in value:
        return lambda path: value

    def rewrite(path: bytes) -> bytes:
        end = path.find(b"?")
        return value if end < 0 else value + path[end:]

    return rewrite


def replace_prefix(prefix: bytes, value: bytes) -> RewritePath:
    """The first bytes of a path that begins with `prefix`, in any case of its letters."""
    length = len(prefix)
    return lambda path: value + path[length:]


def _replace_matches(substitute: Callable[[bytes], bytes]) -> RewritePath:
    def rewrite(path: bytes) -> bytes:
        path, mark, query = path.partition(b"?")
        path = substitute(path)
        # What a group leaves may be no path at all, which no server would take.
        if not path.startswith(b"/"):
            path = b"/" + path
        return path + mark + query

    return rewrite
