"""A file of lines: nothing waits for the disk, nothing grows without bound."""

import asyncio
import stat
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.support.awaiting import until
from tulle.actors import logs
from tulle.actors.proxy import linefile
from tulle.actors.proxy.linefile import BUFFER_BYTES, FLUSH_BYTES, LineFile

pytestmark = pytest.mark.asyncio


def file_in(folder: Path) -> tuple[LineFile, Path]:
    path = folder / "logs" / "access-p.log"
    return LineFile(path, asyncio.get_running_loop()), path


async def test_lines_are_in_the_file_in_their_order(tmp_path: Path) -> None:
    lines, path = file_in(tmp_path)
    for n in range(10_000):
        lines.add(b"%d\n" % n)
    await lines.close()
    assert path.read_bytes() == b"".join(b"%d\n" % n for n in range(10_000))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert lines.dropped == 0


async def test_a_few_lines_are_written_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linefile, "FLUSH_SECONDS", 0.01)
    lines, path = file_in(tmp_path)
    for line in (b"one\n", b"two\n"):
        lines.add(line)
        assert not path.exists() or path.read_bytes() != line, "not at once"
        await until(partial(_ends, path, line))
    assert path.read_bytes() == b"one\ntwo\n"


async def test_a_slow_disk_costs_lines_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines, path = file_in(tmp_path)
    go, write = threading.Event(), lines._write

    def slow(data: bytes) -> None:
        go.wait(10)
        write(data)

    monkeypatch.setattr(lines, "_write", slow)
    line = b"x" * 1023 + b"\n"
    count = (FLUSH_BYTES + BUFFER_BYTES) // 1024
    for _ in range(count + 7):
        lines.add(line)
    assert lines.dropped == 7
    go.set()
    await lines.close()
    assert path.stat().st_size == count * 1024
    assert "lines=7" in caplog.text
    lines.add(b"again\n")
    await lines.close()
    assert path.read_bytes().endswith(b"again\n")


async def test_a_disk_that_refuses_is_told_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines, path = file_in(tmp_path)
    path.mkdir(parents=True)
    lines.add(b"one\n")
    lines.add(b"two\n")
    await lines.close()
    assert lines.dropped == 2
    assert "not written" in caplog.text
    path.rmdir()
    lines.add(b"three\n")
    await lines.close()
    assert path.read_bytes() == b"three\n"


async def test_a_full_file_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST_FILE", 10)
    lines, path = file_in(tmp_path)
    for line in (b"first\n", b"second\n", b"third\n"):
        lines.add(line)
        await lines.close()
    assert path.read_bytes() == b"third\n"
    assert path.with_name("access-p.log.1").read_bytes() == b"second\n"
    assert len(list(path.parent.iterdir())) == 2


def _ends(path: Path, line: bytes) -> bool:
    return path.exists() and path.read_bytes().endswith(line)
