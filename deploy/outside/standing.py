"""`outside.json`: a mesh of which actors are in a Ray that others run, for as long as they are.

Written before the first actor is spawned, removed when `tulle down` has ended the last. Its
`instance` is how a node agent knows that it sees this very folder, and not another machine's.
"""

import secrets
import subprocess
import sys
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from tulle.deploy import home
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.outside.options import Outside

FILE: Final = "outside.json"
END_SECONDS: Final = 90.0


class Standing(BaseModel):
    """`outside.json`. `instance` is random; `ray` and `nats` as in `Outside`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    v: int = 1
    instance: str
    ray: str
    nats: str


def read(of: Home) -> Standing | None:
    """What stands; None: nothing. Raises `Failure`."""
    path = of.root / FILE
    try:
        return Standing.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise Failure(f"{path} can't be read: {error}") from None


def check(of: Home, outside: Outside) -> bool:
    """Whether actors may be there already. Raises `Failure` when they are not of `outside`."""
    before = read(of)
    if before is not None and (before.ray, before.nats) != (outside.ray, outside.nats):
        raise Failure(
            f"the actors of this mesh are in Ray at {before.ray}, with NATS at {before.nats}: say "
            f"`tulle up --ray {before.ray} --nats {before.nats}` again, or end them first, with "
            "`tulle down`"
        )
    return before is not None


def begin(of: Home, ray: str, nats: str) -> Standing:
    """Writes down that there will be actors, unless it is already. Raises `Failure`."""
    if (found := read(of)) is None:
        found = Standing(instance=secrets.token_hex(8), ray=ray, nats=nats)
        home.write(of.root / FILE, found)
    return found


def end(of: Home, mesh: str) -> str:
    """Ends the actors that stand, and forgets them; what was done. Raises `Failure`.

    In a process of its own: who speaks to Ray has Ray in it, and commands don't.
    """
    found = read(of)
    if found is None:
        return ""
    command = ("--mesh", mesh, "--mesh-home", str(of.root), "--ray", found.ray)
    try:
        done = subprocess.run(
            (sys.executable, "-m", "tulle.deploy.outside.end", *command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=END_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"Ray at {found.ray} did not end the actors in {END_SECONDS:.0f} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
        raise Failure(
            f"the actors in Ray at {found.ray} are not ended: {last}; if that cluster is gone for "
            f"good, remove {of.root / FILE}"
        )
    for file in of.nodes.glob("*.json"):
        file.unlink(missing_ok=True)
    (of.root / FILE).unlink(missing_ok=True)
    return done.stdout.strip()
