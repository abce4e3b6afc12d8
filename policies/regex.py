"""Regular expressions of policies: RE2, linear in the input, so that no request hangs a proxy.

The only place that imports `re2`.
"""

from collections.abc import Callable

import re2  # type: ignore[import-untyped]

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


class BadRegex(ValueError):
    """The text is no regular expression of RE2's syntax; the message says why."""


def compile_regex(text: str) -> Callable[[bytes], bool]:
    """A predicate that holds when the whole of its argument matches, as in Istio."""
    try:
        full_match = re2.compile(text.encode(), _OPTIONS).fullmatch
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise BadRegex(reason.decode() if isinstance(reason, bytes) else str(reason)) from None

    def matches(value: bytes) -> bool:
        return full_match(value) is not None

    return matches
