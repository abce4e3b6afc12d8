"""Credentials on disk: readable by their owner alone, and an error names the file."""

import stat
from pathlib import Path

import pytest

from tulle.bus.credentials import Credentials, write_secret

CREDENTIALS = Credentials("nats://127.0.0.1:4222", "proxy", "secret-password")


def test_they_come_back_and_are_secret(tmp_path: Path) -> None:
    path = tmp_path / "proxy.json"
    CREDENTIALS.write(path)
    assert Credentials.read(path) == CREDENTIALS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret-password" not in repr(CREDENTIALS)
    assert CREDENTIALS.inbox == "_INBOX.proxy"


def test_a_file_is_replaced_in_one_step_even_when_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "proxy.json"
    path.write_text("old")
    path.chmod(0o644)
    write_secret(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["proxy.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"url": "x"}', "null"])
def test_a_file_that_holds_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "proxy.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"proxy\.json holds no credentials"):
        Credentials.read(path)
