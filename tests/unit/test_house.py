"""The guard of unit tests (conftest.py beside this file): whoever reaches for the world is told."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

FORBIDDEN = "a unit test tried to reach the world"
NOWHERE = ("127.0.0.1", 9)


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[ModuleType]:
    """Ray as the guard finds it, or a stand-in: to import it would take seconds."""
    if (known := sys.modules.get("ray")) is not None:
        yield known
        return
    stand_in = sys.modules["ray"] = ModuleType("ray")
    stand_in.init = lambda: None  # type: ignore[attr-defined]
    yield stand_in
    del sys.modules["ray"]


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_no_socket_connects(method: str) -> None:
    with socket.socket() as sock, pytest.raises(AssertionError, match=FORBIDDEN):
        getattr(sock, method)(NOWHERE)


@pytest.mark.asyncio
async def test_nor_one_of_the_loop() -> None:
    with pytest.raises(AssertionError, match=FORBIDDEN):
        await asyncio.open_connection(*NOWHERE)


def test_no_process_starts() -> None:
    with pytest.raises(AssertionError, match=FORBIDDEN):
        subprocess.run(["true"], check=True)


@pytest.mark.asyncio
async def test_nor_one_of_the_loop_either() -> None:
    with pytest.raises(AssertionError, match=FORBIDDEN):
        await asyncio.create_subprocess_exec("true")


def test_no_ray_starts(ray: ModuleType) -> None:
    with pytest.raises(AssertionError, match=FORBIDDEN):
        ray.init()
