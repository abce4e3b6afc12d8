"""Faults that are injected, and when requests are tried again."""

import pytest

from tests.support.policy_mesh import Mesh, virtual_service
from tests.support.policy_story import told_retry

JASON = """\
- match: [{headers: {end-user: {exact: jason}}}]
  fault: {FAULT}
  route: [{destination: {host: ratings}}]
- route: [{destination: {host: reviews}}]
"""
SEVEN = "delay: {percentage: {value: 100}, fixedDelay: 7s}"
FAULTS = [
    ("a delay for jason", SEVEN, "ratings; delay 7 s"),
    (
        "a delay for every tenth of his requests",
        "delay: {percentage: {value: 10}, fixedDelay: 1.5s}",
        "ratings; delay 1.5 s for 10 %",
    ),
    (
        "a share may be a fraction of a percent",
        "delay: {percentage: {value: 0.125}, fixedDelay: 5ms}",
        "ratings; delay 0.005 s for 0.125 %",
    ),
    (
        "the deprecated percent",
        "delay: {percent: 25, fixedDelay: 2s}",
        "ratings; delay 2 s for 25 %",
    ),
    (
        "percentage counts before percent",
        "delay: {percent: 25, percentage: {value: 50}, fixedDelay: 2s}",
        "ratings; delay 2 s for 50 %",
    ),
    ("a delay without a percentage delays nothing", "delay: {fixedDelay: 2s}", "ratings"),
    (
        "a delay of no percent delays nothing",
        "delay: {fixedDelay: 2s, percentage: {value: 0}}",
        "ratings",
    ),
    (
        "an abort for half of his requests",
        "abort: {percentage: {value: 50}, httpStatus: 503}",
        "ratings; abort 503 for 50 %",
    ),
    (
        "an abort with a status that nobody registered",
        "abort: {percentage: {value: 100}, httpStatus: 555}",
        "ratings; abort 555",
    ),
    ("an abort without a percentage aborts nothing", "abort: {httpStatus: 500}", "ratings"),
    (
        "a delay and then an abort",
        SEVEN + ", abort: {percentage: {value: 50}, httpStatus: 500}",
        "ratings; delay 7 s; abort 500 for 50 %",
    ),
    (
        "an abort stays when the delay concerns nobody",
        "delay: {fixedDelay: 2s}, abort: {percentage: {value: 50}, httpStatus: 500}",
        "ratings; abort 500 for 50 %",
    ),
]


@pytest.mark.parametrize(
    ("fault", "answer"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS]
)
def test_faults(fault: str, answer: str) -> None:
    mesh = Mesh(virtual_service(JASON.replace("FAULT", fault)))
    assert mesh.send("GET http://reviews/", "end-user: jason") == answer
    assert mesh.send("GET http://reviews/", "end-user: eve") == "reviews"
    assert mesh.send("GET http://reviews/") == "reviews"


def test_a_destination_that_is_not_there_has_its_fault_too() -> None:
    http = """\
- fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
  route: [{destination: {host: nowhere}}]
"""
    answer = Mesh(virtual_service(http)).send("GET http://reviews/")
    assert answer == "503 unknown_cluster; abort 418"


def test_a_fault_is_of_all_destinations_of_its_rule() -> None:
    http = """\
- fault: {delay: {percentage: {value: 100}, fixedDelay: 1s}}
  route:
  - {destination: {host: ratings}, weight: 50}
  - {destination: {host: details}, weight: 50}
"""
    mesh = Mesh(virtual_service(http))
    assert mesh.send("GET http://reviews/", uniform=0.0) == "ratings; delay 1 s"
    assert mesh.send("GET http://reviews/", uniform=0.9) == "details; delay 1 s"


DEFAULT = "2 more tries on connect failure, reset; idempotent alone"
RETRIES = [
    ("nothing is said: the mesh's default", "", DEFAULT),
    ("attempts are switched off", "{attempts: 0}", "no more tries"),
    ("nothing is said about attempts", "{}", "no more tries"),
    (
        "attempts alone have Istio's conditions",
        "{attempts: 3}",
        "3 more tries on connect failure, reset, 503",
    ),
    (
        "a time-out per try",
        "{attempts: 1, perTryTimeout: 250ms}",
        "1 more tries of 0.25 s on connect failure, reset, 503",
    ),
    (
        "connect failures alone",
        "{attempts: 1, retryOn: connect-failure}",
        "1 more tries on connect failure",
    ),
    (
        "a reset includes a connection that is not made",
        "{attempts: 1, retryOn: reset}",
        "1 more tries on connect failure, reset",
    ),
    (
        "a reset before the request is one of connecting",
        "{attempts: 1, retryOn: reset-before-request}",
        "1 more tries on connect failure",
    ),
    (
        "5xx is every code and every reset",
        "{attempts: 2, retryOn: 5xx}",
        "2 more tries on connect failure, reset, 500-599",
    ),
    (
        "gateway errors are three codes and every reset",
        "{attempts: 2, retryOn: gateway-error}",
        "2 more tries on connect failure, reset, 502, 503, 504",
    ),
    ("the one 4xx", "{attempts: 2, retryOn: retriable-4xx}", "2 more tries on 409"),
    ("codes alone", '{attempts: 2, retryOn: "429, 500"}', "2 more tries on 429, 500"),
    (
        "codes by Envoy's name for them",
        '{attempts: 2, retryOn: "retriable-status-codes,429"}',
        "2 more tries on 429",
    ),
    (
        "several conditions",
        '{attempts: 2, retryOn: "connect-failure, refused-stream, retriable-4xx ,418"}',
        "2 more tries on connect failure, 409, 418",
    ),
    (
        "HTTP/1.1 refuses no stream",
        "{attempts: 2, retryOn: refused-stream}",
        "2 more tries on nothing",
    ),
    (
        "the conditions of gRPC beside others",
        '{attempts: 2, retryOn: "connect-failure,refused-stream,unavailable,cancelled,503"}',
        "2 more tries on connect failure, 503",
    ),
]


@pytest.mark.parametrize(
    ("retries", "told"), [case[1:] for case in RETRIES], ids=[case[0] for case in RETRIES]
)
def test_retries(retries: str, told: str) -> None:
    written = f"  retries: {retries}\n" if retries else ""
    http = f"- route: [{{destination: {{host: reviews}}}}]\n{written}"
    choice = Mesh(virtual_service(http)).choice("GET http://reviews/")
    assert choice is not None
    assert told_retry(choice.retry) == told
    assert choice.plan is None  # retries alone ask for no plan


def test_conditions_of_grpc_are_warned_of() -> None:
    http = """\
- route: [{destination: {host: reviews}}]
  retries: {attempts: 1, retryOn: "503,internal"}
"""
    warnings = Mesh(virtual_service(http)).warnings()
    assert warnings == ["not-supported-yet spec.http[0].retries.retryOn"]


def test_each_rule_has_its_own_retries() -> None:
    http = """\
- match: [{uri: {prefix: /a}}]
  retries: {attempts: 5, retryOn: "500"}
  route: [{destination: {host: reviews}}]
- route: [{destination: {host: reviews}}]
"""
    mesh = Mesh(virtual_service(http))
    told = [mesh.choice(f"GET http://reviews{path}") for path in ("/a", "/b")]
    assert [told_retry(choice.retry) for choice in told if choice] == [
        "5 more tries on 500",
        DEFAULT,
    ]
