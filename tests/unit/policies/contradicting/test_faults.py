"""Faults: kinds, percentages, statuses."""

import pytest

from tests.support.policy_checks import ROUTE, only, said

ALL = "percentage: {value: 100}"


@pytest.mark.parametrize(
    "fault",
    [
        f"delay: {{fixedDelay: 7s, {ALL}}}",
        "delay: {fixedDelay: 7s, percent: 100}",
        f"abort: {{httpStatus: 200, {ALL}}}",
        "abort: {httpStatus: 599, percentage: {value: 0.01}}",
        f"delay: {{fixedDelay: 1ms, {ALL}}}, abort: {{httpStatus: 555, {ALL}}}",
    ],
)
def test_what_makes_sense(fault: str) -> None:
    assert said(f"{ROUTE}, fault: {{{fault}}}") == []


@pytest.mark.parametrize(
    ("fault", "code", "path", "message"),
    [
        ("", "contradiction", "fault", "needs a delay or an abort"),
        (f"delay: {{{ALL}}}", "contradiction", "fault.delay", "needs fixedDelay"),
        (
            "delay: {fixedDelay: 1s, percent: 101}",
            "schema",
            "fault.delay.percent",
            "must be from 0 to 100",
        ),
        ("delay: {fixedDelay: 1s}", "contradiction?", "fault.delay", "delays no request"),
        (
            "delay: {fixedDelay: 1s, percentage: {}}",
            "contradiction?",
            "fault.delay",
            "delays no request",
        ),
        (
            f"delay: {{fixedDelay: 1s, percent: 1, {ALL}}}",
            "contradiction?",
            "fault.delay.percent",
            "no effect beside percentage",
        ),
        (
            "delay: {fixedDelay: 1s, percentage: {value: 100.1}}",
            "schema",
            "fault.delay.percentage.value",
            "must be from 0.0 to 100.0",
        ),
        (
            "abort: {httpStatus: 500, percentage: {value: -1}}",
            "schema",
            "fault.abort.percentage.value",
            "must be from 0.0 to 100.0",
        ),
        ("abort: {httpStatus: 500}", "contradiction?", "fault.abort", "aborts no request"),
        (f"abort: {{{ALL}}}", "contradiction", "fault.abort", "needs httpStatus"),
        (f"abort: {{httpStatus: 199, {ALL}}}", "schema", "fault.abort.httpStatus", "200 to 599"),
        (f"abort: {{httpStatus: 600, {ALL}}}", "schema", "fault.abort.httpStatus", "200 to 599"),
        (
            f"abort: {{grpcStatus: UNAVAILABLE, {ALL}}}",
            "not-supported-yet",
            "fault.abort.grpcStatus",
            "supported here: httpStatus",
        ),
        (
            f"delay: {{exponentialDelay: 1s, {ALL}}}",
            "not-supported-yet",
            "fault.delay.exponentialDelay",
            "supported here: fixedDelay",
        ),
    ],
)
def test_what_does_not(fault: str, code: str, path: str, message: str) -> None:
    found = only(f"{ROUTE}, fault: {{{fault}}}")
    assert found[:2] == (code, path)
    assert message in found[2]
