"""The wheel holds every module and data file; installed by pip, its `tulle` runs anywhere."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("policies", "bus", "actors", "deploy", "load")


def copy_of_sources(folder: Path) -> Path:
    """The files that a build reads, without what earlier builds left."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for room in ROOMS:
        shutil.copytree(
            ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__", "results")
        )
    return source


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder)]
    built = subprocess.run(
        [*command, str(copy_of_sources(folder))], capture_output=True, text=True, timeout=110
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return next(folder.glob("*.whl"))


def test_it_holds_every_module_and_data_file(wheel: Path) -> None:
    expected = {
        f"tulle/{path.relative_to(ROOT)}"
        for room in ROOMS
        for pattern in ("*.py", "py.typed", "*.yaml")
        for path in (ROOT / room).rglob(pattern)
        if "results" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        assert expected <= set(archive.namelist())


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment in which pip has installed the wheel."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    ran([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--no-cache-dir"]
    ran([*pip, "install", *options, str(wheel)])
    # The dependencies of this environment, not its editable install: nested .pth are not read.
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def ran(command: list[str], folder: Path | None = None) -> str:
    """What a command that ends well prints; it runs away from the checkout."""
    env = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder or "/", env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_command_that_pip_installs_runs_from_another_folder(venv: Path, tmp_path: Path) -> None:
    shown = ran([str(venv / "bin" / "tulle"), "--help"], tmp_path)
    for command in ("up", "down", "run", "apply", "status", "demo"):
        assert f" {command} " in shown


def test_what_it_runs_is_what_was_installed(venv: Path, tmp_path: Path) -> None:
    rooms = ", ".join(f"tulle.{room}" for room in ROOMS)
    code = f"import {rooms}; print(*(room.__file__ for room in ({rooms},)), sep='\\n')"
    places = ran([str(venv / "bin" / "python"), "-c", code], tmp_path).split()
    assert len(places) == len(ROOMS)
    assert all(Path(place).is_relative_to(venv / "lib") for place in places)
