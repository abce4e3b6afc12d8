"""Retries: numbers, times, words."""

import pytest

from tests.support.policy_checks import ROUTE, only, said


@pytest.mark.parametrize(
    "retries",
    [
        "{}",
        "{attempts: 0}",
        "{attempts: 100, perTryTimeout: 1s, retryOn: '5xx,gateway-error,reset,503'}",
        "{attempts: 1, retryOn: ' connect-failure , refused-stream '}",
        "{attempts: 1, retryOn: 'retriable-status-codes,429'}",
        "{attempts: 1, retryOn: ''}",
    ],
)
def test_what_makes_sense(retries: str) -> None:
    assert said(f"{ROUTE}, timeout: 1s, retries: {retries}") == []


@pytest.mark.parametrize(
    ("retries", "code", "path", "message"),
    [
        ("{attempts: -1}", "schema", ".attempts", "must be from 0 to 100"),
        ("{attempts: 101}", "schema", ".attempts", "must be from 0 to 100"),
        ("{perTryTimeout: 1s}", "contradiction", ".perTryTimeout", "attempts is 0"),
        ("{attempts: 0, retryOn: 5xx}", "contradiction", ".retryOn", "attempts is 0"),
        (
            "{attempts: 1, perTryTimeout: 1001ms}",
            "contradiction?",
            ".perTryTimeout",
            "the timeout of the whole request is 1s",
        ),
        (
            "{attempts: 1, retryOn: 'conect-failure'}",
            "schema",
            ".retryOn",
            "allowed: connect-failure, reset, reset-before-request, 5xx, gateway-error, "
            "retriable-4xx, retriable-status-codes, refused-stream, or codes like 503. "
            'Did you mean "connect-failure"?',
        ),
        ("{attempts: 1, retryOn: '503 reset'}", "schema", ".retryOn", "503 reset is no condition"),
        ("{attempts: 1, retryOn: '600'}", "schema", ".retryOn", "600 is no condition"),
        ("{attempts: 1, retryOn: '99'}", "schema", ".retryOn", "99 is no condition"),
        ("{attempts: 1, retryOn: ','}", "schema", ".retryOn", "must name conditions"),
        (
            "{attempts: 1, retryOn: retriable-headers}",
            "not-supported-yet",
            ".retryOn",
            "retriable-headers is not supported yet; supported: connect-failure",
        ),
        (
            "{attempts: 1, retryOn: 'unavailable,cancelled'}",
            "not-supported-yet",
            ".retryOn",
            "conditions of gRPC are not supported yet",
        ),
        (
            "{attempts: 1, retryOn: 'unavailable,cancelled,503'}",
            "not-supported-yet?",
            ".retryOn",
            "cancelled, unavailable: conditions of gRPC, which no request meets yet",
        ),
        (
            "{attempts: 1, retryOn: retriable-status-codes}",
            "contradiction?",
            ".retryOn",
            "has no effect without codes",
        ),
        ("{attempts: 1, backoff: 1s}", "not-supported-yet", ".backoff", "supported here: attempts"),
    ],
)
def test_what_does_not(retries: str, code: str, path: str, message: str) -> None:
    found = only(f"{ROUTE}, timeout: 1s, retries: {retries}")
    assert found[:2] == (code, f"retries{path}")
    assert message in found[2]


def test_every_wrong_word_is_named() -> None:
    found = said(f"{ROUTE}, retries: {{attempts: 1, retryOn: 'b,5xx,a'}}")
    assert [message.split(";")[0] for _, _, message in found] == [
        "a is no condition",
        "b is no condition",
    ]
