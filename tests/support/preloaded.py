"""`tulle` commands without their start: a process has imported what they need, each is a fork.

    with preloaded() as run:
        status, out, err = run(("status",), env=..., cwd=...)

Importing costs 0.3 s of CPU for each command; a test of a hundred of them would be long.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

Run = Callable[[Sequence[str], Mapping[str, str], Path], tuple[int, str, str]]


@contextlib.contextmanager
def preloaded() -> Iterator[Run]:
    """A function that runs a command: exit status, stdout, stderr. One at a time; it may be
    called from any thread."""
    server = subprocess.Popen(
        (sys.executable, "-m", "tests.support.preloaded"),
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None and server.stdout is not None
    asked, answers, lock = server.stdin, server.stdout, threading.Lock()

    def run(words: Sequence[str], env: Mapping[str, str], cwd: Path) -> tuple[int, str, str]:
        with tempfile.TemporaryDirectory() as folder, lock:
            print(json.dumps([list(words), dict(env), str(cwd), folder]), file=asked, flush=True)
            status = int(answers.readline())
            out, err = ((Path(folder) / name).read_text() for name in ("out", "err"))
            return status, out, err

    with server:
        try:
            yield run
        finally:
            asked.close()


def _serve() -> None:
    from tulle.bus import connection  # noqa: F401 - what commands import when they need it
    from tulle.deploy import cli, detached, run, up  # noqa: F401

    for line in sys.stdin:
        words, env, cwd, folder = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(words, env, cwd, Path(folder), cli.main)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _become(
    words: list[str], env: dict[str, str], cwd: str, folder: Path, main: Callable[[], None]
) -> None:
    """The command; it ends here."""
    status = 1
    try:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
        sys.argv = ["tulle", *words]
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
