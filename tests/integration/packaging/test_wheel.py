"""The wheel holds every module and data file, and `tulle` runs from it, away from the checkout."""

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


def test_the_command_runs_from_it(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60
    )
    site = next(venv.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies of this environment, not its editable install: nested .pth are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    code = "import sys, tulle.deploy.cli as cli; sys.argv = ['tulle', '--help']; cli.main()"
    ran = subprocess.run(
        [str(venv / "bin" / "python"), "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    for command in ("up", "run", "apply", "status", "demo"):
        assert command in ran.stdout
    where = [str(venv / "bin" / "python"), "-c", "import tulle.bus; print(tulle.bus.__file__)"]
    assert str(venv) in subprocess.run(where, capture_output=True, text=True, timeout=30).stdout
