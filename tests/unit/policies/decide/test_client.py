"""What of a match is decided by who routes."""

import pytest

from tulle.policies.config import HttpMatch, StringMatch
from tulle.policies.decide.client import Client, possible

CLIENT = Client("shop", (("app", "web"), ("version", "v1")), "https")
PATH = StringMatch("prefix", "/a")


@pytest.mark.parametrize(
    "match",
    [
        HttpMatch(uri=PATH),
        HttpMatch(uri=PATH, source_namespace="shop"),
        HttpMatch(uri=PATH, source_labels=(("app", "web"),)),
        HttpMatch(uri=PATH, source_labels=CLIENT.labels, source_namespace="shop"),
        HttpMatch(uri=PATH, scheme=StringMatch("exact", "https")),
        HttpMatch(uri=PATH, scheme=StringMatch("regex", "https?")),
    ],
)
def test_what_holds_for_the_client_is_asked_no_more(match: HttpMatch) -> None:
    assert possible([match], CLIENT) == (HttpMatch(uri=PATH),)


@pytest.mark.parametrize(
    "match",
    [
        HttpMatch(source_namespace="default"),
        HttpMatch(source_labels=(("app", "db"),)),
        HttpMatch(source_labels=(*CLIENT.labels, ("x", "y"))),
        HttpMatch(scheme=StringMatch("exact", "http")),
        HttpMatch(scheme=StringMatch("exact", "HTTPS")),
        HttpMatch(uri=PATH, source_namespace="shop", source_labels=(("app", ""),)),
    ],
)
def test_what_can_never_hold_for_it_is_gone(match: HttpMatch) -> None:
    assert possible([match], CLIENT) == ()


def test_what_is_left_is_left_once_and_in_order() -> None:
    other = HttpMatch(method=StringMatch("exact", "GET"))
    matches = [
        HttpMatch(uri=PATH, source_namespace="shop"),
        HttpMatch(source_namespace="default"),
        other,
        HttpMatch(uri=PATH),
    ]
    assert possible(matches, CLIENT) == (HttpMatch(uri=PATH), other)
