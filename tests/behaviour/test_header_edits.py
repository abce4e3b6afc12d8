"""Headers that a rule, or one destination of it, removes, sets and adds."""

import pytest

from tests.support.policy_mesh import Mesh, virtual_service

SENT = ("x-team: blue", "cookie: a=1", "cookie: b=2")
CASES = [
    ("set a new header", "request: {set: {x-new: '1'}}", "request x-team: blue, C, x-new: 1"),
    ("set replaces", "request: {set: {x-team: red}}", "request C, x-team: red"),
    (
        "set replaces all of a name by one",
        "request: {set: {cookie: c=3}}",
        "request x-team: blue, cookie: c=3",
    ),
    ("names have no case", "request: {set: {X-Team: red}}", "request C, x-team: red"),
    (
        "add puts one more beside it",
        "request: {add: {x-team: red}}",
        "request x-team: blue, C, x-team: red",
    ),
    ("remove", "request: {remove: [X-TEAM]}", "request C"),
    ("remove all of a name", "request: {remove: [cookie]}", "request x-team: blue"),
    ("remove what is not there", "request: {remove: [x-no]}", "request x-team: blue, C"),
    (
        "remove, then set, then add",
        "request: {remove: [cookie, x-team], set: {x-team: red}, add: {x-team: green}}",
        "request x-team: red, x-team: green",
    ),
    (
        "two percent signs are one",
        "request: {set: {x-share: '50%%'}, remove: [cookie]}",
        "request x-team: blue, x-share: 50%",
    ),
    ("host is the authority", "request: {set: {Host: shop.example}}", "authority shop.example"),
    (
        "so is :authority",
        "request: {set: {':authority': 'shop.example:81'}, remove: [cookie]}",
        "authority shop.example:81; request x-team: blue",
    ),
    ("set in responses", "response: {set: {x-old: '2'}}", "response Server: app, x-old: 2"),
    (
        "add to responses",
        "response: {add: {x-old: '2'}}",
        "response Server: app, X-Old: 1, x-old: 2",
    ),
    ("remove from responses", "response: {remove: [server, x-no]}", "response X-Old: 1"),
    (
        "requests and responses",
        "request: {remove: [cookie]}, response: {remove: [server]}",
        "request x-team: blue; response X-Old: 1",
    ),
    ("nothing at all", "request: {}, response: {set: {}}", ""),
]


@pytest.mark.parametrize("level", ["rule", "destination"])
@pytest.mark.parametrize(
    ("edits", "answer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_edits(edits: str, answer: str, level: str) -> None:
    headers = f"headers: {{{edits}}}"
    of_rule, of_destination = (headers, "") if level == "rule" else ("name: x", f", {headers}")
    http = f"- {of_rule}\n  route: [{{destination: {{host: reviews}}{of_destination}}}]"
    expected = "; ".join(part for part in ("reviews", answer) if part)
    expected = expected.replace("C", "cookie: a=1, cookie: b=2")
    assert Mesh(virtual_service(http)).send("GET http://reviews/", *SENT) == expected


BOTH = """\
- headers:
    request: {set: {x-from: rule, x-rule: "1", host: rule.example}, add: {x-both: rule}}
    response: {set: {server: rule}}
  route:
  - destination: {host: ratings}
    weight: 50
    headers:
      request: {set: {x-from: ratings}, add: {x-both: ratings}, remove: [x-rule]}
      response: {remove: [server]}
  - destination: {host: details}
    weight: 50
"""


def test_a_destination_has_the_last_word() -> None:
    mesh = Mesh(virtual_service(BOTH))
    assert mesh.send("GET http://reviews/", "x-rule: 0", uniform=0.0) == (
        "ratings; authority rule.example; request x-both: rule, x-from: ratings, x-both: ratings; "
        "response X-Old: 1"
    )
    assert mesh.send("GET http://reviews/", "x-rule: 0", uniform=0.9) == (
        "details; authority rule.example; request x-from: rule, x-rule: 1, x-both: rule; "
        "response X-Old: 1, server: rule"
    )


@pytest.mark.parametrize(
    ("of_rule", "of_destination", "authority"),
    [
        pytest.param("", "", "rewritten", id="a rewrite comes before the rule's headers"),
        pytest.param("", "headers: {request: {set: {host: target}}}", "target", id="a destination"),
        pytest.param("rewrite: {uri: /}, ", "", "of-rule", id="the rule's headers alone"),
    ],
)
def test_which_authority_is_sent(of_rule: str, of_destination: str, authority: str) -> None:
    rewrite = of_rule or "rewrite: {authority: rewritten}, "
    http = (
        f"- {{{rewrite}headers: {{request: {{set: {{host: of-rule}}}}}}, "
        f"route: [{{destination: {{host: reviews}}, {of_destination}}}]}}"
    )
    assert f"authority {authority}" in Mesh(virtual_service(http)).send("GET http://reviews/")


def test_destinations_that_differ_in_edits_alone_have_their_shares() -> None:
    http = """\
- route:
  - {destination: {host: ratings}, weight: 1, headers: {request: {set: {x-group: a}}}}
  - {destination: {host: ratings}, weight: 3, headers: {request: {set: {x-group: b}}}}
"""
    mesh = Mesh(virtual_service(http))
    told = [mesh.send("GET http://reviews/", uniform=n / 100) for n in range(100)]
    assert told.count("ratings; request x-group: a") == 25
    assert told.count("ratings; request x-group: b") == 75
