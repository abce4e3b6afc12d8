"""Regular expressions of policies: RE2, linear in the input, so that no request hangs a proxy.

The only place that imports `re2`.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import re2  # type: ignore[import-untyped]

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_TEMPLATE = re.compile(rb"\\(.?)", re.DOTALL)


class BadRegex(ValueError):
    """The text is no regular expression of RE2's syntax; the message says why."""


def compile_regex(text: str) -> Callable[[bytes], bool]:
    """A predicate that holds when the whole of its argument matches, as in Istio."""
    full_match = _compile(text).fullmatch

    def matches(value: bytes) -> bool:
        return full_match(value) is not None

    return matches


def compile_substitution(text: str, template: str) -> Callable[[bytes], bytes]:
    """A function that puts `template` in place of every match, as RE2's GlobalReplace.

    `\\1` to `\\9` in the template are groups, `\\0` is the whole match, `\\\\` a backslash. Raises
    BadRegex for anything else behind a backslash, and for a group that the expression lacks.
    """
    pattern = _compile(text)
    parts = list(_template_parts(template.encode(), pattern.groups))

    def substitute(value: bytes) -> bytes:
        out, end = b"", 0
        for found in pattern.finditer(value):
            if found.end() == found.start() == end and end:
                continue  # nothing, where the last match ended
            out += value[end : found.start()]
            out += b"".join(found[p] or b"" if isinstance(p, int) else p for p in parts)
            end = found.end()
        return out + value[end:]

    return substitute


def _compile(text: str) -> Any:
    try:
        return re2.compile(text.encode(), _OPTIONS)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise BadRegex(reason.decode() if isinstance(reason, bytes) else str(reason)) from None


def _template_parts(template: bytes, groups: int) -> Iterator[bytes | int]:
    """Plain text, and the numbers of groups."""
    end = 0
    for escape in _TEMPLATE.finditer(template):
        yield template[end : escape.start()]
        what, end = escape[1], escape.end()
        if what == b"\\":
            yield what
        elif what.isdigit() and int(what) <= groups:
            yield int(what)
        else:
            shown = escape[0].decode(errors="replace")
            raise BadRegex(f"{shown} is neither \\\\ nor one of the groups \\0 to \\{groups}")
    yield template[end:]
