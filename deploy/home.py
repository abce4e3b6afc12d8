"""The folder of a mesh, `$TULLE_HOME/<mesh>/`: its layout, `mesh.json`, and who may write there.

Folders are 0700, files 0600. `up.py` writes, all commands read. `mesh.json` is there exactly while
the mesh is ready; `processes.json` names the children of `up` from the moment they run, so that
the next `up` ends what a killed one left.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tulle.deploy import processes
from tulle.deploy.errors import Failure, NoMesh
from tulle.deploy.processes import Process

# A unix socket's path ends at 107 bytes. We put /run/<8>.sock behind the folder, and Ray
# /ray/session_<26>_<pid>/sockets/plasma_store.
_LONGEST_FOLDER = 89
_LONGEST_FOLDER_FOR_RAY = 39
_SHORT = Path("/tmp")

FileT = TypeVar("FileT", bound=BaseModel)


class MeshFile(BaseModel):
    """`mesh.json`: where a running mesh is found. Addresses are `host:port`, folders absolute."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    v: int = 1
    mesh: str
    nats_url: str
    creds: str  # the folder of <role>.json files
    ingress: str
    http: str  # a URL
    bind: str
    up: Process
    processes: dict[str, Process]
    nodes: list[str]

    def creds_of(self, role: str) -> Path:
        """The file of a role's NATS user."""
        return Path(self.creds) / f"{role}.json"


class Children(BaseModel):
    """`processes.json`: `up` itself and the session leaders that it has started, by name."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    v: int = 1
    up: Process | None = None
    processes: dict[str, Process] = {}


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of one mesh's folder."""

    root: Path

    @property
    def mesh_file(self) -> Path:
        return self.root / "mesh.json"

    @property
    def children_file(self) -> Path:
        return self.root / "processes.json"

    @property
    def lock(self) -> Path:
        return self.root / "up.lock"

    @property
    def creds(self) -> Path:
        return self.root / "creds"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def ray(self) -> Path:
        """Ray's own files. It opens this folder to all users, so one above must be closed."""
        return self.above_ray / "ray"

    @property
    def above_ray(self) -> Path:
        """This mesh's folder; a short one, the same each time, when the paths of Ray's sockets
        would be too long here."""
        root = os.fsencode(self.root)
        if len(root) <= _LONGEST_FOLDER_FOR_RAY:
            return self.root
        name = hashlib.sha256(root).hexdigest()[:12]
        return _SHORT / f"tulle-{os.getuid()}-{name}"

    @property
    def nodes(self) -> Path:
        return self.root / "nodes"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """The unix sockets of `tulle run`."""
        return self.root / "run"

    @property
    def holder(self) -> Path:
        """The unix socket of the watcher's holder."""
        return self.root / "holder.sock"

    def make(self) -> None:
        """Makes the folders. Raises `Failure` where that can't be."""
        if len(os.fsencode(self.root)) > _LONGEST_FOLDER:
            raise Failure(
                f"the path {self.root} is too long for unix sockets below it ({_LONGEST_FOLDER} "
                "bytes at most): set TULLE_HOME to a shorter one"
            )
        self._make_above_ray()
        folders = (self.creds, self.nats, self.ray, self.nodes, self.logs, self.run)
        for folder in (self.root, *folders, self.root / "proxies", self.root / "authority"):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
            except OSError as error:
                raise Failure(
                    f"can't make {folder}: {_reason(error)}; set TULLE_HOME to a folder of yours"
                ) from error

    def _make_above_ray(self) -> None:
        """Others may write where a short one is: what they put there is not taken for ours."""
        if self.above_ray == self.root:
            return
        with contextlib.suppress(FileExistsError):
            self.above_ray.mkdir(mode=0o700)
        found = self.above_ray.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not ours or stat.S_IMODE(found.st_mode) & 0o077:
            raise Failure(
                f"{self.above_ray}, for Ray's files, is not a folder that only you can enter: "
                f"remove it, or set TULLE_HOME to a shorter path (with the mesh's name "
                f"{_LONGEST_FOLDER_FOR_RAY} bytes or less need no folder elsewhere)"
            )

    def mesh_now(self) -> MeshFile:
        """What `mesh.json` says. Raises `NoMesh` when there is none, or its `up` is gone."""
        mesh = _read(self.mesh_file, MeshFile)
        if mesh is None:
            raise NoMesh(f"no mesh runs in {self.root}: start one with `tulle up`")
        if not processes.runs(mesh.up):
            raise NoMesh(f"the `tulle up` of {self.root} was killed: start it again")
        return mesh

    def children(self) -> Children:
        """What `processes.json` says; no file or a broken one: none."""
        try:
            return _read(self.children_file, Children) or Children()
        except Failure:
            return Children()


@contextlib.contextmanager
def lock(home: Home) -> Iterator[None]:
    """Holds `up.lock` for as long as this process lives. Raises `Failure` when another does."""
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"a `tulle up` already runs this mesh in {home.root}: "
                "stop it with `tulle down`, or name another with --mesh"
            ) from None
        yield
    finally:
        os.close(descriptor)


def locked(home: Home) -> bool:
    """Whether some `up` holds the lock."""
    try:
        with lock(home):
            return False
    except Failure:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False


def end_leftovers(home: Home, seconds: float = 5.0) -> list[str]:
    """Ends what a killed `up` left and forgets it; names what was still running."""
    home.mesh_file.unlink(missing_ok=True)
    left = home.children().processes
    ended = [name for name, process in left.items() if processes.end(process, seconds)]
    home.children_file.unlink(missing_ok=True)
    return ended


def write(path: Path, value: BaseModel) -> None:
    """Writes `value` as JSON, 0600, in one step: a reader sees all of it or what was before."""
    write_bytes(path, value.model_dump_json(indent=1).encode() + b"\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data`, 0600, in one step."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _reason(error: OSError) -> str:
    """`not a directory`."""
    return (error.strerror or str(error)).lower()


def _read(path: Path, expected: type[FileT]) -> FileT | None:
    try:
        return expected.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(
            f"can't read {path}: {_reason(error)}; set TULLE_HOME to a folder of yours"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise Failure(f"{path} is broken ({first}): remove it and start `tulle up` again") from None
