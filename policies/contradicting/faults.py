"""Fault injection: what is done, to how many requests."""

from collections.abc import Iterator

from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.networking.common import Percent
from tulle.policies.resources.networking.http_action import Fault, FaultAbort, FaultDelay


def check_fault(document: Document, path: Path, fault: Fault) -> Iterator[Problem]:
    """Everything that a fault says and can't mean."""
    if fault.delay is None and fault.abort is None:
        yield document.problem("contradiction", path, "a fault needs a delay or an abort")
    if fault.delay is not None:
        yield from _delay(document, (*path, "delay"), fault.delay)
    if fault.abort is not None:
        yield from _abort(document, (*path, "abort"), fault.abort)


def _delay(document: Document, path: Path, delay: FaultDelay) -> Iterator[Problem]:
    if delay.fixed_delay is None and delay.exponential_delay is None:
        yield document.problem("contradiction", path, "a delay needs fixedDelay")
    percent = float(delay.percent or 0)
    if not 0 <= percent <= 100:
        yield document.problem("schema", (*path, "percent"), "must be from 0 to 100")
    if delay.percent is not None and delay.percentage is not None:
        message = "percent has no effect beside percentage; remove it"
        yield document.problem("contradiction", (*path, "percent"), message, "warning")
    yield from _share(document, path, delay.percentage, percent, "delays")


def _abort(document: Document, path: Path, abort: FaultAbort) -> Iterator[Problem]:
    if (abort.http_status, abort.grpc_status, abort.http2_error) == (None, None, None):
        yield document.problem("contradiction", path, "an abort needs httpStatus")
    if abort.http_status is not None and not 200 <= abort.http_status <= 599:
        yield document.problem("schema", (*path, "httpStatus"), "must be from 200 to 599")
    yield from _share(document, path, abort.percentage, 0.0, "aborts")


def _share(
    document: Document, path: Path, percentage: Percent | None, older: float, verb: str
) -> Iterator[Problem]:
    """`older`: the percent that counts without a percentage."""
    share = older if percentage is None else percentage.value or 0.0
    if percentage is not None and not 0 <= share <= 100:  # NaN neither
        where = (*path, "percentage", "value")
        yield document.problem("schema", where, "must be from 0.0 to 100.0")
    elif share == 0:
        message = f"{verb} no request: the percentage is 0, which it also is when not given"
        yield document.problem("contradiction", path, message, "warning")
