"""Sessions of real processes: found and ended whole, and nobody else's."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.homes import short_home
from tulle.deploy import home, processes
from tulle.deploy.home import Children, Home
from tulle.deploy.processes import Process

TREE = """
import os, subprocess, sys, time
subprocess.Popen(["sleep", "600"])
print("up", flush=True)
time.sleep(600)
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + TREE


@contextmanager
def session(script: str) -> Iterator[tuple["subprocess.Popen[bytes]", Process]]:
    """A process with a child, leading a session."""
    popen = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    assert popen.stdout is not None
    popen.stdout.readline()
    leader = processes.find(popen.pid)
    assert leader is not None
    try:
        yield popen, leader
    finally:
        processes.kill(leader)
        popen.wait()
        popen.stdout.close()


def test_the_children_of_a_dead_leader_are_still_found() -> None:
    with session(TREE) as (popen, leader):
        assert len(processes.members(leader)) == 2
        popen.kill()
        popen.wait()

        (orphan,) = processes.members(leader)
        assert orphan != leader.pid
        assert not processes.runs(leader)
        processes.kill(leader)
        assert processes.members(leader) == []


def test_who_does_not_end_by_itself_is_killed_with_all_of_its_session() -> None:
    with session(STUBBORN) as (popen, leader):
        began = time.monotonic()
        assert processes.end(leader, seconds=0.3)
        assert time.monotonic() - began < 5
        assert popen.wait() == -signal.SIGKILL
        assert processes.members(leader) == []
        assert not processes.end(leader, seconds=0.3)


def test_a_process_that_waits_for_its_parent_is_no_process() -> None:
    popen = subprocess.Popen(["true"])
    while processes.find(popen.pid) is not None:
        time.sleep(0.01)
    popen.wait()


def test_what_a_killed_up_left_is_ended() -> None:
    with short_home() as root, session(TREE) as (popen, leader):
        where = Home(root / "default")
        where.make()
        home.write(where.children_file, Children(processes={"nats": leader}))

        assert home.end_leftovers(where) == ["nats"]
        popen.wait()
        assert processes.members(leader) == []
        assert home.end_leftovers(where) == []
