from collections.abc import Mapping

import pytest

from tulle.deploy.demo.exchange import Answer, Connection, ConnectionLost
from tulle.deploy.demo.visitors import REQUESTS_PER_CONNECTION, Visitors


class Scripted(Connection):
    """A connection that answers, or fails once with what it was told."""

    opened: "list[Scripted]"
    fails_next: ConnectionLost | None

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool] = []
        self.closed = False

    async def get(self, path: str, host: str, headers: Mapping[str, str], *, last: bool) -> Answer:
        self.asked.append(last)
        failure, Scripted.fails_next = Scripted.fails_next, None
        if failure is not None:
            raise failure
        self.usable = not last
        return Answer(200)

    def close(self) -> None:
        self.closed, self.usable = True, False


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Scripted]:
    """All connections that were opened, in order."""
    Scripted.opened, Scripted.fails_next = [], None

    async def opened(host: str, port: int) -> Scripted:
        Scripted.opened.append(Scripted())
        return Scripted.opened[-1]

    monkeypatch.setattr(Connection, "open", opened)
    return Scripted.opened


def shop() -> Visitors:
    return Visitors(("127.0.0.1", 80), "/", "shop", {}, slots=2)


@pytest.mark.asyncio
async def test_a_single_request_takes_a_new_connection_and_ends_it(
    connections: list[Scripted],
) -> None:
    await shop().get_once()
    assert [(c.asked, c.closed) for c in connections] == [([True], True)]


@pytest.mark.asyncio
async def test_a_kept_connection_is_renewed_after_some_requests(
    connections: list[Scripted],
) -> None:
    shopping = shop()
    for _ in range(REQUESTS_PER_CONNECTION + 1):
        await shopping.get_kept(0)
    first, second = connections
    assert first.asked == [False] * (REQUESTS_PER_CONNECTION - 1) + [True]
    assert first.closed
    assert len(second.asked) == 1


@pytest.mark.asyncio
async def test_slots_have_connections_of_their_own(connections: list[Scripted]) -> None:
    shopping = shop()
    for slot in (0, 1, 0, 1):
        await shopping.get_kept(slot)
    assert [len(c.asked) for c in connections] == [2, 2]
    shopping.close()
    assert all(c.closed for c in connections)


@pytest.mark.asyncio
async def test_a_kept_connection_closed_before_the_answer_is_asked_again_and_counted(
    connections: list[Scripted],
) -> None:
    shopping = shop()
    await shopping.get_kept(0)
    Scripted.fails_next = ConnectionLost("closed", before_answer=True)
    answer, retried = await shopping.get_kept(0)
    assert (answer.status, retried) == (200, True)
    assert connections[0].closed


@pytest.mark.asyncio
async def test_a_loss_within_the_answer_is_a_failure(connections: list[Scripted]) -> None:
    shopping = shop()
    await shopping.get_kept(0)
    Scripted.fails_next = ConnectionLost("reset", before_answer=False)
    with pytest.raises(ConnectionLost):
        await shopping.get_kept(0)


@pytest.mark.asyncio
async def test_a_loss_on_a_new_connection_is_a_failure(connections: list[Scripted]) -> None:
    Scripted.fails_next = ConnectionLost("closed", before_answer=True)
    with pytest.raises(ConnectionLost):
        await shop().get_kept(0)
