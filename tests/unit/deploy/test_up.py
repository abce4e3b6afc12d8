"""The watcher, with a nats-server that does not come back."""

import asyncio
import io
from pathlib import Path

import pytest

from tulle.bus.errors import ServerFailed
from tulle.deploy import detached, local
from tulle.deploy.progress import Progress
from tulle.deploy.settings import Settings
from tulle.deploy.up import UpOptions, Watcher


class Broken:
    """Ended, and each start fails."""

    async def wait(self) -> int:
        return 1

    async def start(self) -> None:
        raise ServerFailed("no space left on device", log="nats.log", output="")


@pytest.mark.asyncio
async def test_why_nats_does_not_come_back_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = UpOptions.parse(bind="127.0.0.1", ingress_port=0, http_port=0)
    watcher = Watcher(Settings(home=tmp_path), options, Progress(io.StringIO()))
    monkeypatch.setattr(watcher, "_nats", Broken())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await watcher._keep_nats()

    assert "no space left on device" in caplog.text


class Told:
    """A Ray host that only hears its arguments."""

    leader = None

    def __init__(self) -> None:
        self.arguments: list[str] = []

    async def start(self, arguments: list[str]) -> None:
        self.arguments = arguments


@pytest.mark.asyncio
async def test_the_ray_host_and_the_twin_are_told_what_the_command_line_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = Settings(home=tmp_path, access_log="json", leaf_ttl=600.0)
    options = UpOptions.parse(bind="127.0.0.1", ingress_port=0, http_port=0, ingress_tls_port=9443)
    watcher, ray = Watcher(of, options, Progress(io.StringIO())), Told()
    monkeypatch.setattr(watcher, "_ray", ray)
    watcher._home.make()
    await watcher._start_ray()
    told = local.parse(ray.arguments)
    assert (told.access_log, told.leaf_ttl) == ("json", 600.0)
    assert local._spec(told, "authority").leaf_ttl_seconds == 600.0
    twin = detached._command(of, options)
    for option, value in (
        ("--access-log", "json"),
        ("--leaf-ttl", "600s"),
        ("--ingress-tls-port", "9443"),
    ):
        assert twin[twin.index(option) + 1] == value
