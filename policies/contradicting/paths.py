"""Rewrites and redirects: what may be sent as a path, and what a replaced prefix leaves behind."""

import re
from collections.abc import Iterator

from tulle.policies.compile.actions import matched_prefix
from tulle.policies.contradicting.authority import check_authority
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.regex import BadRegex, compile_substitution
from tulle.policies.resources.networking.http_action import Redirect, RegexRewrite
from tulle.policies.resources.networking.virtual_service import HttpRoute

_VISIBLE = re.compile(r"[!-~]*")
_CODES = (301, 302, 303, 307, 308)


def check_rewrite(document: Document, path: Path, rule: HttpRoute) -> Iterator[Problem]:
    """Everything that a rule's rewrite says and can't mean."""
    rewrite = rule.rewrite
    assert rewrite is not None
    path = (*path, "rewrite")
    regex = rewrite.uri_regex_rewrite
    if not (rewrite.uri or rewrite.authority or regex):
        message = "a rewrite needs uri, uriRegexRewrite or authority"
        yield document.problem("contradiction", path, message)
    if rewrite.uri and regex:
        message = "uri and uriRegexRewrite exclude each other; give only one"
        yield document.problem("contradiction", (*path, "uriRegexRewrite"), message)
    if rewrite.uri:
        yield from _new_prefix(document, (*path, "uri"), rule, rewrite.uri)
    if rewrite.authority:
        yield from check_authority(document, (*path, "authority"), rewrite.authority)
    if regex is not None:
        yield from _regex(document, (*path, "uriRegexRewrite"), regex)


def check_redirect(document: Document, path: Path, rule: HttpRoute) -> Iterator[Problem]:
    """Everything that a rule's redirect says and can't mean."""
    redirect = rule.redirect
    assert redirect is not None
    path = (*path, "redirect")
    yield from _redirect_fields(document, path, redirect)
    if redirect.uri and redirect.prefix_rewrite:
        message = "uri and prefixRewrite exclude each other; give only one"
        yield document.problem("contradiction", (*path, "prefixRewrite"), message)
    if redirect.uri:
        yield from _path(document, (*path, "uri"), redirect.uri, "")
        if "%PREFIX()%" in redirect.uri:
            message = "%PREFIX()% is not supported yet; use prefixRewrite"
            yield document.problem("not-supported-yet", (*path, "uri"), message)
    if redirect.prefix_rewrite:
        where = (*path, "prefixRewrite")
        yield from _new_prefix(document, where, rule, redirect.prefix_rewrite)


def _redirect_fields(document: Document, path: Path, redirect: Redirect) -> Iterator[Problem]:
    fields = {
        "uri": redirect.uri,
        "prefixRewrite": redirect.prefix_rewrite,
        "authority": redirect.authority,
        "scheme": redirect.scheme,
        "port": redirect.port,
        "derivePort": redirect.derive_port,
    }
    if not any(fields.values()):
        message = f"a redirect needs one of {listed(fields)}"
        yield document.problem("contradiction", path, message)
    if redirect.redirect_code not in (None, *_CODES):
        message = f"must be one of {listed(map(str, _CODES))}"
        yield document.problem("schema", (*path, "redirectCode"), message)
    if redirect.scheme not in (None, "http", "https"):
        yield document.problem("schema", (*path, "scheme"), "must be http or https")
    if redirect.port is not None and not 1 <= redirect.port <= 65535:
        yield document.problem("schema", (*path, "port"), "must be from 1 to 65535")
    if redirect.authority:
        yield from check_authority(document, (*path, "authority"), redirect.authority)


def _path(document: Document, path: Path, text: str, forbidden: str) -> Iterator[Problem]:
    visible = _VISIBLE.fullmatch(text) and not set(text) & set(forbidden)
    if not text.startswith("/") or not visible:
        without = "".join(f", without {character}" for character in forbidden)
        message = f"must begin with / and be visible ASCII{without}"
        yield document.problem("schema", path, message)


def _regex(document: Document, path: Path, regex: RegexRewrite) -> Iterator[Problem]:
    if not regex.match or not regex.rewrite:
        yield document.problem("contradiction", path, "needs both match and rewrite")
        return
    if not _VISIBLE.fullmatch(regex.rewrite) or set(regex.rewrite) & set("?#"):
        message = "must be visible ASCII, without ?, without #"
        yield document.problem("schema", (*path, "rewrite"), message)
        return
    try:
        compile_substitution(regex.match, regex.rewrite)
    except BadRegex as error:
        yield document.problem("schema", (*path, "rewrite"), str(error))


def _new_prefix(document: Document, path: Path, rule: HttpRoute, value: str) -> Iterator[Problem]:
    """What comes in place of a prefix. Warns where the two do not agree about a last slash.

    It is put there as text, as in Istio: `/a` -> `/` makes `//x` of `/a/x`.
    """
    problems = list(_path(document, path, value, "?#"))
    if problems:
        yield from problems
        return
    uris = [match.uri for match in rule.match] or [None]
    prefixes = dict.fromkeys(prefix for prefix in map(matched_prefix, uris) if prefix)
    for prefix in prefixes:
        if prefix.endswith("/") != value.endswith("/"):
            before = prefix if prefix.endswith("/") else f"{prefix}/"
            after = value + before.removeprefix(prefix)
            message = f"turns {before}x into {after}x; let both end with /, or neither"
            yield document.problem("contradiction", path, message, "warning")
