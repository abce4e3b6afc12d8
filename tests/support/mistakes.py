"""docs/mistakes.md: the table of mistakes, read, tried and written again.

    python -m tests.support.mistakes     # writes what the commands say now; look at the diff

A row is `| mistake | command | what stderr says | exit status |`; a command with a `<word>`, and
what it says, have that word in place of a port or path of the moment. Files that commands name
lie in docs/mistakes/, what is too large or odd for that is made here.
"""

import contextlib
import os
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from tests.support.gateway_certificates import certificate_pem, key_pem, make_key
from tests.support.homes import short_home
from tests.support.mesh import TULLE, Mesh

TABLE = Path(__file__).parents[2] / "docs" / "mistakes.md"
FILES = TABLE.with_suffix("")
NO_MESH = "No mesh"
_AT_ONCE = 3
_SECONDS = 60.0
_CODE = re.compile(r"`` (.*?) ``")
# What no command line has given: names of the moment, and what grows with the demo.
_VARYING = (
    (r"the steps are [\d, ]+", "the steps are <steps>"),
    (r"pools: [\w, -]+ \[", "pools: <pools> ["),
    (r"there are: [\w, .-]+ \[", "there are: <names> ["),
    (r"it\. (Known: |Did you mean )[^\[]* \[missing", "it. Known: <gateways> [missing"),
    (r"has expired, on [\d-]+", "has expired, on <day>"),
)


@dataclass(frozen=True)
class Row:
    """One mistake; `section` says whether there is a mesh. `out` is stdout, not in the table."""

    section: str
    mistake: str
    command: str
    said: tuple[str, ...]
    status: int
    out: str = field(default="", compare=False)

    def __str__(self) -> str:
        said = "<br>".join(map(_code, self.said)) or "nothing: its exit status is passed on"
        return f"| {self.mistake} | {_code(self.command)} | {said} | {self.status} |"


def rows(table: Path = TABLE) -> list[Row]:
    """All rows, in their order."""
    found, section = [], ""
    for line in table.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| ") and "``" in line:
            found.append(_row(section, line))
    return found


def _row(section: str, line: str) -> Row:
    _, mistake, command, said, status, _ = re.split(r"(?<!\\)\|", line)
    (words,) = _decoded(command)
    return Row(section, mistake.strip(), words, _decoded(said), int(status))


def _decoded(cell: str) -> tuple[str, ...]:
    return tuple(text.replace("\\|", "|") for text in _CODE.findall(cell))


def _code(text: str) -> str:
    return f"`` {text.replace('|', chr(92) + '|')} ``"


def tried(wanted: list[Row], mesh: Mesh) -> list[Row]:
    """The rows as commands answer now; `mesh` is there for all but those without one."""
    with _world(mesh) as (folder, values), ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda row: _try(row, mesh, folder, values), wanted))


def _try(row: Row, mesh: Mesh, folder: Path, values: Mapping[str, str]) -> Row:
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(short_home()) if row.section == NO_MESH else mesh.home
        known = {**values, "<home>": str(home)}
        words = shlex.split(_replaced(row.command, known))
        env = mesh.environment | {"TULLE_HOME": str(home)}
        while words[0] != "tulle":
            name, _, value = words.pop(0).partition("=")
            env[name] = value
        done = subprocess.run(
            (*TULLE, *words[1:]),
            env=env | {"PYTHONPATH": ""},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    said = _replaced(done.stderr, {value: name for name, value in known.items()})
    for pattern, name in _VARYING:
        said = re.sub(pattern, name, said)
    return replace(row, said=tuple(said.splitlines()), status=done.returncode, out=done.stdout)


def _replaced(text: str, by: Mapping[str, str]) -> str:
    for old, new in sorted(by.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def _world(mesh: Mesh) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with all files, and what stands for what; a service `till` is in the mesh."""
    app = mesh.run("till")
    try:
        with short_home() as work, _busy() as busy, _busy() as closing:
            closed = str(closing.getsockname()[1])
            closing.close()
            _make_files(work)
            values = {
                "<work>": str(work),
                "<busy>": str(busy.getsockname()[1]),
                "<closed>": closed,
                "<nats>": mesh.file.nats_url,
                "<web>": mesh.file.http.rpartition(":")[2],
            }
            yield work, values | _runners(mesh, work)
            mesh.succeed("runner", "remove", "guest")
    finally:
        app.end()


def _busy() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _runners(mesh: Mesh, work: Path) -> dict[str, str]:
    """A runner that may start account `guest`, and one that is removed again."""
    paths = {f"<{name}>": str(work / f"{name}.json") for name in ("runner", "removed")}
    guest = ("--service-account", "guest", "-o")
    mesh.succeed("runner", "add", "guest", *guest, paths["<runner>"])
    mesh.succeed("runner", "add", "removed", *guest, paths["<removed>"])
    mesh.succeed("runner", "remove", "removed")
    return paths


def _make_files(work: Path) -> None:
    for file in FILES.iterdir():
        (work / file.name).write_bytes(file.read_bytes())
    good = (work / "good.yaml").read_text()
    many = (good.replace("name: till", f"name: till-{number}") for number in range(999))
    (work / "many.yaml").write_text("---\n".join(many))
    (work / "huge.yaml").write_text(good + "#" + "x" * 9_000_000)
    (work / "binary.yaml").write_bytes(bytes(range(256)))
    (work / "other.json").write_text("{}")
    (work / "folder").mkdir()
    (work / "strange" / "policies.yaml").mkdir(parents=True)
    key, now = make_key(), time.time()
    (work / "key.pem").write_text(key_pem(key))
    (work / "other.pem").write_text(key_pem(make_key()))
    (work / "encrypted.pem").write_text(key_pem(key, "secret"))
    (work / "cert.pem").write_text(certificate_pem(key, "till.test", begins=now - 60))
    expired = certificate_pem(key, "till.test", begins=now - 864_000, lifetime=timedelta(days=1))
    (work / "expired.pem").write_text(expired)


def refreshed(text: str, now: list[Row]) -> str:
    """The page with other rows, in the same order."""
    said = iter(now)
    lines = (
        str(next(said)) if line.startswith("| ") and "``" in line else line
        for line in text.splitlines()
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.chdir(TABLE.parents[1])
    with Mesh() as started:
        TABLE.write_text(refreshed(TABLE.read_text(), tried(rows(), started)))
