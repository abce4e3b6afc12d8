"""`--nats`, `--nats-ca` and `--ray`: checked before anything is done."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tulle.deploy.errors import Usage
from tulle.deploy.settings import Settings

NATS_PORT: Final = 4222
EXAMPLE: Final = f"tls://nats.example:{NATS_PORT}"


@dataclass(frozen=True, slots=True)
class Outside:
    """What others run. `nats`: `tls://host:port`; `ca`: PEM; `ray`: `host:port`. Empty: we do."""

    nats: str = ""
    ca: str = ""
    ray: str = ""

    @property
    def nats_host(self) -> str:
        """The host of `nats`."""
        return urlsplit(self.nats).hostname or ""

    @property
    def nats_port(self) -> int:
        """The port of `nats`."""
        return urlsplit(self.nats).port or NATS_PORT

    @property
    def ray_host(self) -> str:
        """The module whose process has to do with Ray."""
        return "tulle.deploy.outside.host" if self.ray else "tulle.deploy.local"

    @property
    def logs_of_ray(self) -> str:
        """Where Ray's logs are, when they are not in the mesh's folder."""
        return f"the logs of Ray at {self.ray}" if self.ray else ""

    @property
    def last_words(self) -> str:
        """What `up` says at its end."""
        if self.ray:
            return f"ended; the actors stay in Ray at {self.ray}: `tulle down` ends them"
        return "ended, nothing of it runs any more"

    @property
    def has_tls(self) -> bool:
        """Whether NATS is reached by TLS."""
        return self.nats.startswith("tls://")


def parse(of: Settings) -> Outside:
    """What the settings say. Raises `Usage`."""
    nats = _nats(of.nats) if of.nats else ""
    found = Outside(nats, _ca(of.nats_ca) if of.nats_ca else "", _ray(of.ray) if of.ray else "")
    if of.nats_ca and not found.has_tls:
        raise Usage(f"--nats-ca is for a NATS with TLS: add --nats, as in {EXAMPLE}")
    if found.ray and not found.has_tls:
        raise Usage(
            "--ray needs --nats with TLS: the actors of a cluster reach NATS over its network; "
            f"add --nats, as in {EXAMPLE} (`tulle up --print-nats-config` says what it needs)"
        )
    return found


def _nats(text: str) -> str:
    url, port = _split("--nats", text if "://" in text else f"tls://{text}")
    more = url.username or url.password or url.path.strip("/") or url.query or url.fragment
    if url.scheme not in ("tls", "nats") or more:
        raise Usage(f"--nats {text!r}: one URL is needed, as in {EXAMPLE}")
    host = url.hostname or ""
    place = f"{_bracketed(host)}:{port or NATS_PORT}"
    if url.scheme == "nats" and not _is_loopback(host):
        raise Usage(f"--nats {text!r}: outside of this machine it needs TLS, as in tls://{place}")
    return f"{url.scheme}://{place}"


def _ray(text: str) -> str:
    url, port = _split("--ray", f"ray://{text}")
    if "/" in text or not port:
        raise Usage(f"--ray {text!r}: the address of Ray's head is needed, as in 10.0.0.1:6379")
    return f"{_bracketed(url.hostname or '')}:{port}"


def _split(option: str, text: str) -> tuple[SplitResult, int]:
    try:
        url = urlsplit(text)
        port = url.port or 0
    except ValueError as error:
        raise Usage(f"{option} {text!r}: {error}") from None
    if not url.hostname:
        raise Usage(f"{option} {text!r}: it names no host")
    return url, port


def _ca(path: Path) -> str:
    try:
        text = path.read_text()
        ssl.create_default_context(cadata=text)
    except OSError as error:  # of ssl too
        why = "it is no PEM of certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise Usage(f"--nats-ca {path}: {why}") from None
    except ValueError:
        raise Usage(f"--nats-ca {path}: it is no PEM of certificates") from None
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
