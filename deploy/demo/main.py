"""`tulle demo`: a mesh of its own, the bookstore on it, the steps, and no trace afterwards.

Called by deploy.cli; exit status 0 only if every check held.
"""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from rich.console import Console

from tulle.deploy.demo.bookstore import POLICIES, Bookstore
from tulle.deploy.demo.checks import Checks
from tulle.deploy.demo.mesh import POOL
from tulle.deploy.demo.report import Lines, LiveTable, Result, print_result
from tulle.deploy.demo.stage import Stage
from tulle.deploy.demo.steps import STEPS
from tulle.deploy.demo.traffic import HOST, PATH, Traffic

UP_TARGET_SECONDS = 15.0
DEMO_TARGET_SECONDS = 120.0
TOLERANCE = 3.0  # machines differ: only beyond this many times a target is the demo wrong
INTERRUPTED = 130
USAGE = 2
WIDTH = 160  # of tables off a terminal


def run(hold: bool = False, steps: Sequence[int] = (), json: bool = False) -> int:
    """Runs the demo and prints its report; all steps unless some are named. The exit status."""
    if unknown := sorted(set(steps) - set(STEPS)):
        known = ", ".join(map(str, STEPS))
        print(f"tulle: there is no step {unknown[0]}; the steps are {known}", file=sys.stderr)
        return USAGE
    try:
        return asyncio.run(_run(hold, sorted(set(steps)) or sorted(STEPS), json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted; everything that the demo had started is ended", file=sys.stderr)
        return INTERRUPTED


async def _run(hold: bool, steps: Sequence[int], json: bool) -> int:
    _cancel_on(signal.SIGTERM, signal.SIGHUP)
    # Of what the connection to the mesh has to say, checks show what matters.
    logging.getLogger("tulle").addHandler(logging.NullHandler())
    console = Console(stderr=json)
    if not console.is_terminal:
        console = Console(stderr=json, width=WIDTH)
    show = LiveTable(console) if console.is_terminal and not json else Lines(console)
    checks = Checks(show.started, show.ended)
    began, held, traffics = time.monotonic(), 0.0, list[Traffic]()
    with show:
        async with _bookstore(checks) as store:
            if await _prepared(store, checks):
                await _steps(steps, store, checks, traffics)
                _whole_time(checks, time.monotonic() - began)
                if hold:
                    held = await _hold(store, console)
    seconds = time.monotonic() - began - held
    result = _result(checks, traffics, seconds)
    for trouble in checks.trouble:
        print(trouble, file=sys.stderr)
    if json:
        print(orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        print_result(console, result)
    return 0 if result.ok else 1


def _result(checks: Checks, traffics: Sequence[Traffic], seconds: float) -> Result:
    """The whole demo: a failed request is as bad as a check that did not hold."""
    sent = sum(traffic.sent for traffic in traffics)
    failed = sum(page.failed for traffic in traffics for page in traffic.pages)
    lost = sum(traffic.lost for traffic in traffics)
    return Result(checks.ok and not failed, seconds, sent, failed, tuple(checks.done), lost)


@asynccontextmanager
async def _bookstore(checks: Checks) -> AsyncIterator[Bookstore]:
    """A bookstore on a mesh of its own; afterwards neither process nor folder is left."""
    store = Bookstore()
    try:
        yield store
    finally:
        with checks.check(0, "everything ends", "no process, no folder left") as outcome:
            stuck = await store.end()
            seen = f"had to be killed: {', '.join(stuck)}" if stuck else "nothing left"
            outcome.saw(seen, not stuck and not store.home.exists())


async def _prepared(store: Bookstore, checks: Checks) -> bool:
    """Mesh, applications and their way in are there; False: nothing more can be tried."""
    with checks.check(0, "tulle up", f"ready in {UP_TARGET_SECONDS:.0f} s") as outcome:
        began = time.monotonic()
        mesh = await store.up()
        seconds = time.monotonic() - began
        seen = f"{seconds:.1f} s, ingress on {mesh.ingress}"
        outcome.saw(seen, seconds <= UP_TARGET_SECONDS * TOLERANCE)
    if store.file is None:
        return False
    with checks.check(0, "tulle run, six times", "six ready endpoints") as running:
        await store.run_apps()
        running.saw("six ready endpoints", True)
    if not running.ok:
        return False
    with checks.check(0, "tulle apply bookstore.yaml", "applied by all") as applied:
        await store.apply_policy("bookstore.yaml")
        applied.saw("applied by all", True)
    return applied.ok


async def _steps(
    steps: Sequence[int], store: Bookstore, checks: Checks, traffics: list[Traffic]
) -> None:
    """Runs the steps under one traffic; `traffics` takes it and what steps add."""
    traffic = Traffic(store.ingress)
    others: list[Traffic] = []
    traffic.start()
    try:
        for number in steps:
            await STEPS[number].run(Stage(number, store, traffic, others, checks))
    finally:
        await traffic.stop()
        traffics.extend((traffic, *others))


def _whole_time(checks: Checks, seconds: float) -> None:
    with checks.check(0, "the whole demo", f"{DEMO_TARGET_SECONDS:.0f} s") as outcome:
        outcome.saw(f"{seconds:.0f} s", seconds <= DEMO_TARGET_SECONDS * TOLERANCE)


async def _hold(store: Bookstore, console: Console) -> float:
    """Leaves everything up until Ctrl-C, and says what there is to see. For how many seconds."""
    began = time.monotonic()
    assert store.file is not None  # prepared
    console.print(what_to_try(store.home, store.file.ingress, store.file.http), highlight=False)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    return time.monotonic() - began


def what_to_try(home: Path, ingress: str, http: str) -> str:
    """What `--hold` prints."""
    return f"""
The bookstore is up; Ctrl-C ends it. To try:
  export TULLE_HOME={home}
  curl -s -H 'accept: text/html' -H 'host: {HOST}' http://{ingress}{PATH}   # or in a browser
  curl -s -H 'end-user: jason' http://{ingress}{PATH}
  tulle status
  tulle workloads
  tulle get virtualservices -o yaml
  tulle apply --wait -f {POLICIES / "reviews-50-50.yaml"}
  tulle scale {POOL} 3
  curl -s {http}/metrics | grep istio_requests_total
"""


def _cancel_on(*numbers: signal.Signals) -> None:
    """Lets these signals end the demo in order, as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None  # called from a coroutine
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
