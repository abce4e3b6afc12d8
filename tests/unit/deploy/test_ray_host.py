"""What the watcher hears of its Ray host."""

import asyncio
from pathlib import Path

import pytest

from tulle.deploy.errors import Failure
from tulle.deploy.ray_host import RayHost


class Process:
    """One that has said `lines`, and has ended."""

    def __init__(self, *lines: bytes) -> None:
        self.stdout = asyncio.StreamReader()
        self.stdout.feed_data(b"".join(line + b"\n" for line in lines))
        self.stdout.feed_eof()

    async def wait(self) -> int:
        return 3


def heard(monkeypatch: pytest.MonkeyPatch, log: Path, *lines: bytes) -> RayHost:
    log.write_text("the last line\n")
    host = RayHost(log)
    monkeypatch.setattr(host, "_process", Process(*lines))
    return host


@pytest.mark.asyncio
async def test_events_come_in_order_and_what_is_none_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = (b'{"event": "ray-ready"}', b"garbage", b"[]", b'{"event": "actors-ready"}')
    host = heard(monkeypatch, tmp_path / "log", *lines)
    assert [await host.event(), await host.event()] == ["ray-ready", "actors-ready"]


@pytest.mark.asyncio
async def test_why_it_ends_is_what_it_says_and_else_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = heard(monkeypatch, tmp_path / "log", b'{"error": "no Ray at 10.0.0.1:6379"}')
    with pytest.raises(Failure, match=r"^no Ray at 10\.0\.0\.1:6379$"):
        await host.event()
    with pytest.raises(Failure, match=r"(?s)status 3.*the last line"):
        await host.event()
