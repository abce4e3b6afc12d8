"""The whole demo, as a user starts it: every check of every step holds, and nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TULLE = (sys.executable, "-m", "tulle.deploy.cli")
SECONDS = 390  # three times the demo's own target, and its end
CHECKS = {  # all of them, by step, in the order in which they end
    0: [
        "tulle up",
        "tulle run, six times",
        "tulle apply bookstore.yaml",
        "the whole demo",
        "everything ends",
    ],
    1: [
        "every part answers, each version of reviews",
        "the certificate on the wire",
        "a plain connection to an inbound port",
        "tulle status",
        "no request failed",
        "requests between sidecars",
        "istio_requests_total, reporter=source",
    ],
    2: [
        "canary 90/10",
        "canary 50/50",
        "100 % v3",
        "end-user: jason sees v2",
        "blue: all v1",
        "green: all v3",
        "back to blue: all v1",
        "no request failed during any change",
    ],
    3: [
        "tulle scale ingress 3",
        "the load spreads over the gateways",
        "tulle scale ingress 1",
        "traffic goes on with one gateway",
        "no request failed",
        "no connection is refused",
    ],
    4: [
        "ratings 7 s late for jason, reviews cut at 3 s",
        "ratings aborted for half of jason's",
        "tulle delete virtualservice ratings",
        "nobody else's page is touched",
    ],
    5: [
        "without a policy, plain to details",
        "PERMISSIVE: plain to details",
        "a rule for productpage's identity: plain to details",
        "the same rule, productpage over mTLS",
        "STRICT again: plain to details",
        "no request failed",
    ],
    6: [
        "before, another identity",
        "only productpage may: another identity",
        "only productpage may: productpage",
        "tulle delete: another identity",
        "no request failed",
    ],
    7: [
        "kill -9 of a reviews sidecar",
        "kill -9 of one of 2 gateways",
        "no request failed",
    ],
    8: [
        "NATS stopped for 5 s",
        "then a policy at once",
        "no request failed",
    ],
}


def folders() -> set[Path]:
    """What demos have in /tmp."""
    return set(Path("/tmp").glob("tulle-*"))


@pytest.mark.timeout(SECONDS + 30)
def test_the_demo_holds() -> None:
    before = folders()
    demo = subprocess.Popen(
        [*TULLE, "demo", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, err = demo.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        demo.send_signal(signal.SIGTERM)
        out, err = demo.communicate(timeout=30)
        pytest.fail(f"the demo did not end within {SECONDS} s:\n{err[-4000:]}")
    report = json.loads(out)
    wrong = [check for check in report["checks"] if not check["ok"]]
    assert wrong == [], err[-4000:]
    assert report["ok"] is True
    assert demo.returncode == 0
    assert report["requests"]["sent"] > 2000
    assert report["requests"]["failed"] == 0
    found: dict[int, list[str]] = {}
    for check in report["checks"]:
        found.setdefault(check["step"], []).append(check["name"])
    assert found == CHECKS
    assert folders() - before == set()
    assert _leftovers() == []


@pytest.mark.timeout(120)
def test_ctrl_c_ends_a_demo_that_is_starting_and_leaves_nothing() -> None:
    before = folders()
    demo = subprocess.Popen([*TULLE, "demo", "--json"], stderr=subprocess.PIPE, text=True)
    try:
        while not any((home / "default" / "nats").exists() for home in folders() - before):
            assert demo.poll() is None
            time.sleep(0.05)
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=60)
    finally:
        demo.kill()
    assert demo.returncode == 130
    assert "interrupted" in err
    assert folders() - before == set()
    assert _leftovers() == []


def _leftovers() -> list[str]:
    """Processes whose environment says that they belong to a demo that is gone."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for variable in environment:
            name, _, value = variable.partition(b"=")
            home = Path(os.fsdecode(value))
            if name == b"TULLE_HOME" and home.match("/tmp/tulle-*") and not home.exists():
                found.append(entry.name)
    return found
