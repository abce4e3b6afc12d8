"""Unit tests can't reach the world: no socket connects, no process starts, no Ray."""

import socket
import subprocess
import sys

import pytest


@pytest.fixture(autouse=True)
def no_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `socket.connect`, `subprocess` and `ray.init` raise."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a unit test tried to reach the world")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket.socket, "connect_ex", forbidden)
    # The constructor, not the name: modules imported later may subclass Popen, as ray does.
    monkeypatch.setattr(subprocess.Popen, "__init__", forbidden)
    # By name it would import ray, which takes seconds, in every room's tests.
    if (ray := sys.modules.get("ray")) is not None:
        monkeypatch.setattr(ray, "init", forbidden)
