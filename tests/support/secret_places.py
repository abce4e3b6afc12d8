"""Where a mesh could show a secret, all searched: files, processes, metrics, answers, errors."""

import json
from pathlib import Path

from tests.support.mesh import Mesh
from tests.support.processes import processes_of
from tests.support.secrets_of import Secrets, leaks, of_process, others, proxy_credentials

_ANSWERS = (
    ("status", "-o", "json"),
    ("services", "-o", "json"),
    ("workloads", "-o", "json"),
    ("get", "all", "-o", "json"),
    ("credential", "list", "-o", "json"),
    ("runner", "list", "-o", "json"),
    ("status",),
    ("workloads",),
)


def files(mesh: Mesh) -> list[Path]:
    """Of the mesh's folder all that may have no secret."""
    return list(others(mesh.home / "default"))


def in_files(mesh: Mesh, secrets: Secrets) -> list[str]:
    """Leaks in logs, Ray's session, `mesh.json`, and what commands that stay have printed."""
    found = [leak for path in files(mesh) for leak in leaks(secrets, str(path), _read(path))]
    for running in (mesh.up, *mesh.apps):
        found += leaks(secrets, f"output of {running.name}", running.said().encode())
    return found


def in_processes(mesh: Mesh, secrets: Secrets) -> list[str]:
    """Leaks in argument lists and environments. An app's own proxy credential may be in its
    environment; in that of another workload it is a leak."""
    pids = processes_of(mesh.home)
    environments = {pid: _read(Path(f"/proc/{pid}/environ")) for pid in pids}
    credentials = {
        password: workload
        for environment in environments.values()
        for password, workload in proxy_credentials(environment).items()
    }
    found = []
    for pid, environment in environments.items():
        arguments = _read(Path(f"/proc/{pid}/cmdline"))
        found += of_process(f"process {pid}", environment, arguments, secrets, credentials)
    return found


def in_answers(mesh: Mesh, secrets: Secrets) -> list[str]:
    """Leaks in `/metrics` and in what commands answer."""
    found = leaks(secrets, "/metrics", mesh.metrics().encode())
    for words in _ANSWERS:
        found += leaks(secrets, f"tulle {' '.join(words)}", mesh.succeed(*words).encode())
    return found


def in_errors(mesh: Mesh, secrets: Secrets, runner: Path, key: Path, folder: Path) -> list[str]:
    """Leaks in what commands say about files with secrets that are broken or misplaced."""
    fields = json.loads(runner.read_text())
    broken = {
        "other-jwt": json.dumps({**fields, "jwt": "e30.e30.e30"}),
        "cut-seed": json.dumps({**fields, "seed": fields["seed"][:-1]}),
        "no-json": runner.read_text()[:-1],
        "key": key.read_text(),
    }
    found = []
    for name, content in broken.items():
        path = folder / name
        path.write_text(content)
        for words in (
            ("run", "sleep", "--creds", str(path), "--", "true"),
            ("apply", "-f", str(path)),
            ("credential", "add", "x", "--cert", str(path), "--key", str(path)),
        ):
            done = mesh.tulle(*words)
            assert done.returncode != 0, done
            said = (done.stdout + done.stderr).encode()
            found += leaks(secrets, f"tulle {' '.join(words)}", said)
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or was rotated away
        return b""
