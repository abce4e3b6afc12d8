"""What a command runs with: the command line over `TULLE_*` over defaults.

The only reader of the environment; all other files get values. Counterparts: `cli/` passes what
the command line said, `run.py` takes `inherited()` to make an app's environment from.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tulle.actors.proxy.spec import ACCESS_LOG_FORMS, AccessLogForm
from tulle.deploy.errors import Usage

DEFAULT_MESH = "default"
LEAF_TTL = 86_400.0
SHORTEST_LEAF_TTL = 10.0  # as the authority demands
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Settings:
    """`nats` and `creds` override what the mesh's own files say; None: they don't."""

    home: Path
    mesh: str = DEFAULT_MESH
    nats: str | None = None
    creds: Path | None = None
    json_logs: bool = False
    access_log: AccessLogForm = "off"
    telemetry: bool = True
    leaf_ttl: float = LEAF_TTL  # seconds

    @property
    def mesh_folder(self) -> Path:
        """Where everything of this mesh lies."""
        return self.home / self.mesh


def read(
    mesh: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    access_log: str | None = None,
    leaf_ttl: str | None = None,
) -> Settings:
    """The settings; the other arguments are what the command line said. Raises `Usage`."""
    env = os.environ if environ is None else environ
    home = Path(env.get("TULLE_HOME") or "~/.tulle").expanduser().absolute()
    creds = env.get("TULLE_CREDS")
    return Settings(
        home=home,
        mesh=_mesh_name(mesh or env.get("TULLE_MESH") or DEFAULT_MESH),
        nats=_nats(env.get("TULLE_NATS") or ""),
        creds=Path(creds).expanduser() if creds else None,
        json_logs=_json_logs(env.get("TULLE_LOG") or "text"),
        access_log=_access_log(access_log, env.get("TULLE_ACCESS_LOG") or "off"),
        telemetry=_telemetry(env.get("TULLE_TELEMETRY") or "on"),
        leaf_ttl=_leaf_ttl(leaf_ttl, env.get("TULLE_LEAF_TTL") or f"{LEAF_TTL:g}"),
    )


def inherited() -> dict[str, str]:
    """A copy of the environment that this process was started with."""
    return dict(os.environ)


def _mesh_name(name: str) -> str:
    # As bus.subjects demands; said here as a mistake on the command line, and before it is a path.
    if not name.isascii() or not name.replace("-", "").isalnum() or len(name) > 32:
        raise Usage(f"{name!r} can't name a mesh: use 1 to 32 letters, digits and hyphens")
    return name


def _nats(url: str) -> str | None:
    if url and not url.startswith(("nats://", "tls://", "ws://", "wss://")):
        raise Usage(f"TULLE_NATS is {url!r}: it takes a URL, as in nats://127.0.0.1:4222")
    return url or None


def _json_logs(form: str) -> bool:
    if form not in ("text", "json"):
        raise Usage(f"TULLE_LOG is {form!r}: it takes text or json")
    return form == "json"


def _access_log(option: str | None, inherited: str) -> AccessLogForm:
    name, form = ("TULLE_ACCESS_LOG", inherited) if option is None else ("--access-log", option)
    for known in ACCESS_LOG_FORMS:
        if form == known:
            return known
    raise Usage(f"{name} is {form!r}: it takes {', '.join(ACCESS_LOG_FORMS)}")


def _telemetry(form: str) -> bool:
    if form not in ("on", "off"):
        raise Usage(f"TULLE_TELEMETRY is {form!r}: it takes on or off")
    return form == "on"


def _leaf_ttl(option: str | None, inherited: str) -> float:
    name, text = ("TULLE_LEAF_TTL", inherited) if option is None else ("--leaf-ttl", option)
    number = text.rstrip("smhd")
    unit = _UNITS.get(text[len(number) :])
    if unit is None or not (number.isascii() and number.isdigit()):
        raise Usage(f"{name} is {text!r}: it takes a time, as in 10s, 30m, 24h or 7d")
    if (seconds := int(number) * unit) < SHORTEST_LEAF_TTL:
        raise Usage(f"{name} is {text}: a certificate lives {SHORTEST_LEAF_TTL:g}s at least")
    return seconds
