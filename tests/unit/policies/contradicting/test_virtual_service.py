"""Hosts, destinations and rules that are never taken; more of it in ../test_contradictions.py."""

import pytest

from tests.support.policy_checks import ROUTE, only, said
from tests.support.policy_mesh import parsed, virtual_service
from tulle.policies.contradictions import contradictions


@pytest.mark.parametrize(
    ("destination", "path", "message"),
    [
        ("{host: '*'}", "destination.host", "must be the name of one host"),
        ("{host: 'a b'}", "destination.host", "must be the name of one host"),
        ("{host: a, port: {number: 0}}", "destination.port", "must have a number from 1 to 65535"),
        ("{host: a, subset: v_1}", "destination.subset", "must be letters, digits and -"),
    ],
)
def test_destinations(destination: str, path: str, message: str) -> None:
    found = only(f"route: [{{destination: {destination}}}]")
    assert found == ("schema", f"route[0].{path}", message)


def test_problems_of_all_parts_come_together() -> None:
    rule = (
        "route: [{destination: {host: a}, weight: -1, headers: {request: {add: {host: x}}}}], "
        "match: [{scheme: {}}], fault: {}, retries: {attempts: -1}, headers: {response: "
        "{remove: [connection]}}"
    )
    assert sorted(path for _, path, _ in said(rule)) == [
        "fault",
        "headers.response.remove[0]",
        "match[0].scheme",
        "retries.attempts",
        "route[0].headers.request.add.host",
        "route[0].weight",
    ]


def test_a_line_is_that_of_the_field() -> None:
    http = """\
- route:
  - destination: {host: a}
  retries:
    attempts: 1
    retryOn: nonsense
"""
    [document] = parsed(virtual_service(http)).documents
    [problem] = contradictions(document)
    assert (problem.line, problem.path) == (12, "spec.http[0].retries.retryOn")


def test_what_stands_behind_a_rule_for_all_is_never_taken() -> None:
    [document] = parsed(
        virtual_service(f"- {{{ROUTE}}}\n- {{directResponse: {{status: 200}}}}")
    ).documents
    [problem] = contradictions(document)
    assert (problem.severity, problem.path) == ("warning", "spec.http[1]")
