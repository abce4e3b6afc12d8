"""Where the watcher opens the sockets that proxies ask its holder for, by name."""

import socket
from dataclasses import dataclass

from tulle.actors.holding.group import PortError, open_listening
from tulle.deploy.errors import Failure, Usage

HTTP_OF_GATEWAYS = 80  # what needs root: `--ingress-port` stands for it
_GATEWAY = "gateway:"


@dataclass(frozen=True, slots=True)
class Binding:
    """The ports of the command line; 0 was replaced by a free one. `address`: of `--bind`."""

    address: str
    ingress_port: int
    http_port: int

    def of(self, name: str) -> tuple[str, int]:
        """Address and port of the socket `name`. Raises `ValueError`: no such name."""
        if name == "http":
            return self.address, self.http_port
        number = name.removeprefix(_GATEWAY)
        if number == name or not number.isdigit():
            raise ValueError(f"the watcher holds `http` and `gateway:<port>`, not {name!r}")
        port = int(number)
        return self.address, self.ingress_port if port == HTTP_OF_GATEWAYS else port

    @property
    def ingress(self) -> str:
        """`host:port` of the ingress gateway."""
        return f"{_host(self.address)}:{self.ingress_port}"

    @property
    def http(self) -> str:
        """The URL of the mesh's HTTP port, from this machine."""
        return f"http://{_host(self.address)}:{self.http_port}"


def choose(address: str, ingress_port: int, http_port: int) -> Binding:
    """The binding, after a look whether both ports are free. Raises `Failure`."""
    if ingress_port and ingress_port == http_port:
        raise Usage(f"--ingress-port and --http-port are both {http_port}: give each its own")
    with (
        _try(address, ingress_port, "--ingress-port") as ingress,
        _try(address, http_port, "--http-port") as http,
    ):
        return Binding(address, ingress.getsockname()[1], http.getsockname()[1])


def _try(address: str, port: int, option: str) -> socket.socket:
    try:
        return open_listening(address, port)
    except PortError as error:
        raise Failure(f"{error} ({address}); choose another with {option}, or 0") from None


def _host(address: str) -> str:
    if address in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address
