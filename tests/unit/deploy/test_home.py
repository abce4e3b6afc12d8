"""The mesh's folder: who may look, one `up` at a time, files that are never half."""

import os
import stat
from pathlib import Path

import pytest

from tulle.deploy import home, processes
from tulle.deploy.errors import Failure, NoMesh
from tulle.deploy.home import Children, Home, MeshFile
from tulle.deploy.processes import Process


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    found = Home(Path("mesh"))  # relative: pytest's own paths are too long for sockets
    found.make()
    return found


def mesh_file(up: Process) -> MeshFile:
    return MeshFile(
        mesh="default",
        nats_url="nats://127.0.0.1:4222",
        creds="/h/default/creds",
        ingress="127.0.0.1:8080",
        http="http://127.0.0.1:15000",
        bind="127.0.0.1",
        up=up,
        processes={},
        nodes=["n1"],
    )


def test_folders_are_for_their_owner_alone(here: Home) -> None:
    for path in [here.root, *here.root.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_a_file_is_for_its_owner_alone_and_leaves_no_draft(here: Home) -> None:
    home.write(here.children_file, Children())

    assert stat.S_IMODE(here.children_file.stat().st_mode) == 0o600
    assert [path.name for path in here.root.iterdir() if path.is_file()] == ["processes.json"]


def test_a_path_too_long_for_our_own_sockets_is_refused_early(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="TULLE_HOME"):
        Home(tmp_path / ("x" * 80)).make()


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A folder of 60 bytes: too long for Ray's sockets, not for ours."""
    short = tmp_path / "short"
    short.mkdir()
    monkeypatch.setattr(home, "_SHORT", short)
    monkeypatch.setattr(home, "_LONGEST_FOLDER", 1000)  # pytest's own path is longer
    return Home(tmp_path / ("x" * 40))


def test_ray_is_elsewhere_when_the_path_is_too_long_for_its_sockets(
    here: Home, long: Home, tmp_path: Path
) -> None:
    long.make()
    long.ray.chmod(0o777)  # as Ray does
    long.make()

    assert long.above_ray.parent == tmp_path / "short"
    assert stat.S_IMODE(long.above_ray.stat().st_mode) == 0o700
    assert Home(Path("/h/default")).ray == Path("/h/default/ray")


@pytest.mark.parametrize("mode", [0o777, 0o750])
def test_a_folder_for_ray_that_others_may_enter_is_refused(long: Home, mode: int) -> None:
    long.above_ray.mkdir()
    long.above_ray.chmod(mode)

    with pytest.raises(Failure, match="only you can enter"):
        long.make()


def test_a_link_in_place_of_rays_folder_is_refused(long: Home, tmp_path: Path) -> None:
    long.above_ray.symlink_to(tmp_path)

    with pytest.raises(Failure, match="only you can enter"):
        long.make()


def test_one_up_at_a_time(here: Home) -> None:
    with home.lock(here):
        assert home.locked(here)
        with pytest.raises(Failure, match="already runs"), home.lock(here):
            pass
    assert not home.locked(here)


def test_a_mesh_is_there_while_its_up_runs(here: Home) -> None:
    home.write(here.mesh_file, mesh_file(processes.this_process()))

    assert here.mesh_now().nats_url == "nats://127.0.0.1:4222"


def test_no_file_is_no_mesh(here: Home) -> None:
    with pytest.raises(NoMesh, match="tulle up"):
        here.mesh_now()


def test_a_pid_that_was_given_out_again_is_not_the_mesh(here: Home) -> None:
    home.write(here.mesh_file, mesh_file(Process(pid=os.getpid(), started=1)))

    with pytest.raises(NoMesh, match="killed"):
        here.mesh_now()


def test_a_broken_file_is_named(here: Home) -> None:
    here.mesh_file.write_text("{")

    with pytest.raises(Failure, match=r"mesh\.json is broken"):
        here.mesh_now()


def test_of_a_broken_file_of_children_nobody_is_known(here: Home) -> None:
    here.children_file.write_text("{")

    assert here.children() == Children()
    assert home.end_leftovers(here) == []


def test_leftovers_whose_pid_is_another_process_by_now_are_left_alone(here: Home) -> None:
    home.write(here.mesh_file, mesh_file(processes.this_process()))
    stranger = Process(pid=os.getpid(), started=1)
    home.write(here.children_file, Children(processes={"nats": stranger}))

    assert home.end_leftovers(here) == []
    assert not here.mesh_file.exists()
    assert not here.children_file.exists()


def test_a_file_where_the_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    odd = Home(tmp_path / "home" / "default")

    for touched in (odd.mesh_now, odd.make):
        with pytest.raises(Failure, match=r"not a directory; set TULLE_HOME"):
            touched()
    assert not home.locked(odd)
