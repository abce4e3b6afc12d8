"""Unit tests can't reach the world: no socket connects, no process starts, no Ray."""

import socket
import subprocess

import pytest


@pytest.fixture(autouse=True)
def no_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `socket.connect`, `subprocess` and `ray.init` raise."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a unit test tried to reach the world")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)
    monkeypatch.setattr("ray.init", forbidden)
