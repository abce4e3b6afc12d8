"""How long connections wait for a proxy that is away; the clock is the loop's own, made short."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from tests.support.awaiting import until
from tulle.actors.holding import absence
from tulle.actors.holding.absence import Absence, Waiting


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absence, "LOOK_SECONDS", 0.01)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


class Stood(Absence):
    """Says whether it stands in, instead of accepting."""

    stands_in = False

    def _stand_in(self) -> None:
        self.stands_in = True


@pytest.mark.asyncio
async def test_patience_counts_from_when_the_proxy_was_last_expected(
    listening: socket.socket,
) -> None:
    expected = True
    waiting = Waiting(patience=0.1, expected=lambda: expected, queue=0.2, most=60.0)
    away = Stood(listening, True, waiting)
    await asyncio.sleep(0.3)
    assert not away.stands_in
    expected = False
    began = asyncio.get_running_loop().time()
    await until(lambda: away.stands_in)
    assert 0.1 < asyncio.get_running_loop().time() - began < 2.0
    away.end()


@pytest.mark.asyncio
async def test_nobody_is_expected_for_ever(listening: socket.socket) -> None:
    away = Stood(
        listening, True, Waiting(patience=0.05, expected=lambda: True, queue=9.0, most=0.1)
    )
    await until(lambda: away.stands_in)
    away.end()


@pytest.mark.asyncio
async def test_who_is_back_is_not_stood_in_for(listening: socket.socket) -> None:
    away = Stood(listening, True, Waiting(patience=0.05))
    away.end()
    await asyncio.sleep(0.1)
    assert not away.stands_in
