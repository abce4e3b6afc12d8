"""Whose actors stand, who may join them, and what `down` says."""

from pathlib import Path

import pytest

from tulle.deploy import detached, home
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.outside import head_away, standing
from tulle.deploy.outside.options import Outside
from tulle.deploy.settings import Settings
from tulle.deploy.up import UpOptions

OUTSIDE = Outside(nats="tls://n:1", ray="r:2")


@pytest.fixture
def where(tmp_path: Path) -> Home:
    made = Home(tmp_path / "m")
    made.make()
    return made


def test_what_stands_is_written_once_and_found_again(where: Home) -> None:
    assert standing.check(where, OUTSIDE) is False
    begun = standing.begin(where, OUTSIDE.ray, OUTSIDE.nats)
    assert standing.begin(where, OUTSIDE.ray, OUTSIDE.nats) == begun == standing.read(where)
    assert standing.check(where, OUTSIDE) is True


@pytest.mark.parametrize(
    "other", [Outside(), Outside(nats="tls://n:1"), Outside(nats="tls://x:1", ray="r:2")]
)
def test_another_mesh_can_not_take_its_place(where: Home, other: Outside) -> None:
    standing.begin(where, OUTSIDE.ray, OUTSIDE.nats)
    with pytest.raises(Failure, match=r"Ray at r:2, with NATS at tls://n:1.*`tulle down`"):
        standing.check(where, other)


def test_a_damaged_file_is_said(where: Home) -> None:
    (where.root / standing.FILE).write_text("{}")
    with pytest.raises(Failure, match=r"outside\.json can't be read"):
        standing.check(where, OUTSIDE)


def test_nothing_stands_so_nothing_is_ended(where: Home) -> None:
    assert standing.end(where, "m") == ""


def test_the_twin_is_told_what_the_command_line_said(tmp_path: Path) -> None:
    of = Settings(home=tmp_path, nats="tls://n:1", nats_ca=Path("/ca.pem"), ray="r:2")
    options = UpOptions.parse(bind="127.0.0.1", ingress_port=0, http_port=0)
    twin = detached._command(of, options)
    for option, value in (("--nats", "tls://n:1"), ("--nats-ca", "/ca.pem"), ("--ray", "r:2")):
        assert twin[twin.index(option) + 1] == value
    assert not {"--nats", "--ray"} & set(detached._command(Settings(home=tmp_path), options))


def test_who_left_rays_time_out_at_its_default_is_warned() -> None:
    assert head_away.warning("86400") == ""
    for said in ("", "60"):
        assert "RAY_gcs_rpc_server_reconnect_timeout_s=86400" in head_away.warning(said)


def test_down_ends_what_stands_with_and_without_an_up(
    where: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = Settings(home=where.root.parent, mesh="m")
    done: list[str] = []

    def stop_up(_: Home) -> str:
        done.append("up")
        return "ended"

    def end(_: Home, mesh: str) -> str:
        done.append(f"actors of {mesh}")
        return "ended 9 actors"

    monkeypatch.setattr(detached, "_stop_up", stop_up)
    monkeypatch.setattr(standing, "end", end)
    standing.begin(where, OUTSIDE.ray, OUTSIDE.nats)
    with home.lock(where):
        assert detached.stop(of) == "ended 9 actors, and `tulle up`"
    assert done == ["up", "actors of m"]  # in this order: `up` would start them again
    assert detached.stop(of) == "ended 9 actors"
