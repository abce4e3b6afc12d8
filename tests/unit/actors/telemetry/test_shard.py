"""A shard at a collector: one at a time has it, and what is saved is never older than the file."""

from pathlib import Path

import pytest

from tulle.actors.telemetry.shard import Shard
from tulle.actors.telemetry.totals import merged
from tulle.bus.messages import Series, TelemetryBatch


def batch(value: float, proxy: str = "p") -> TelemetryBatch:
    return TelemetryBatch(
        proxy=proxy, started=1.0, series=[Series(name="n", labels={}, value=value)]
    )


def taken(folder: Path, name: str = "0") -> Shard:
    shard = Shard.take(name, folder)
    assert shard is not None
    return shard


def counted(shard: Shard) -> float:
    return sum(value.value for (name, _), value in merged([shard.totals.summary()]) if name == "n")


@pytest.mark.asyncio
async def test_it_is_at_one_collector_until_that_lets_go(tmp_path: Path) -> None:
    first = taken(tmp_path)
    assert Shard.take("0", tmp_path) is None
    taken(tmp_path, "1").let_go()
    first.totals.add(batch(3))
    await first.save()
    first.let_go()
    second = taken(tmp_path)
    assert counted(second) == 3
    second.let_go()


@pytest.mark.asyncio
async def test_who_has_let_go_writes_no_more(tmp_path: Path) -> None:
    first = taken(tmp_path)
    first.let_go()
    second = taken(tmp_path)
    second.totals.add(batch(5))
    await second.save()
    first.totals.add(batch(4))
    await first.save()
    second.let_go()
    third = taken(tmp_path)
    assert counted(third) == 5
    third.let_go()


@pytest.mark.asyncio
async def test_those_who_wait_are_told_once(tmp_path: Path) -> None:
    shard = taken(tmp_path)
    shard.totals.add(batch(1))
    shard.waiting.append("inbox")
    assert shard.changed
    assert await shard.save() == ["inbox"]
    assert not shard.changed and await shard.save() == []
    shard.let_go()


@pytest.mark.asyncio
async def test_what_can_not_be_saved_is_told_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = taken(tmp_path)
    shard.totals.add(batch(1))
    shard.waiting.append("inbox")
    with monkeypatch.context() as patched:
        patched.setattr("tulle.actors.telemetry.remembered.save", _full)
        with pytest.raises(OSError, match="no space"):
            await shard.save()
    assert await shard.save() == ["inbox"]
    shard.let_go()


def _full(*_: object) -> None:
    raise OSError("no space")


def test_sums_of_shards_are_one_sum(tmp_path: Path) -> None:
    one, two = taken(tmp_path, "0"), taken(tmp_path, "1")
    one.totals.add(batch(3))
    two.totals.add(batch(4, "q"))
    sums = {
        name: value.value for (name, _), value in merged(s.totals.summary() for s in (one, two))
    }
    assert sums["n"] == 7
    one.let_go()
    two.let_go()
