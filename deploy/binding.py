"""Where the watcher opens the sockets that proxies ask its holder for, by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

from tulle.actors.holding.group import NoSuchAddress, PortError
from tulle.deploy.errors import Failure, Usage

HTTP_OF_GATEWAYS = 80  # what needs root: `--ingress-port` stands for it
HTTPS_OF_GATEWAYS = 443  # as above: `--ingress-tls-port`
INGRESS_TLS_PORT = 8443
_GATEWAY = "gateway:"


@dataclass(frozen=True, slots=True)
class Binding:
    """`address`: of `--bind`. A port 0 is a free one, known once it is `opened`.

    The TLS port is opened when a Gateway asks for it; `tulle status` shows which it became.
    """

    address: str
    ingress_port: int
    http_port: int
    ingress_tls_port: int = INGRESS_TLS_PORT

    def of(self, name: str) -> tuple[str, int]:
        """Address and port of the socket `name`. Raises `ValueError`: no such name."""
        if name == "http":
            return self.address, self.http_port
        number = name.removeprefix(_GATEWAY)
        if number == name or not number.isdigit():
            raise ValueError(f"the watcher holds `http` and `gateway:<port>`, not {name!r}")
        port = int(number)
        stands_for = {
            HTTP_OF_GATEWAYS: self.ingress_port,
            HTTPS_OF_GATEWAYS: self.ingress_tls_port,
        }
        return self.address, stands_for.get(port, port)

    @property
    def from_here(self) -> str:
        """The address at which this machine reaches what is bound."""
        if self.address in ("0.0.0.0", "::"):
            return "127.0.0.1"
        return self.address

    @property
    def ingress(self) -> str:
        """`host:port` of the ingress gateway."""
        return f"{self._host}:{self.ingress_port}"

    @property
    def http(self) -> str:
        """The URL of the mesh's HTTP port, from this machine."""
        return f"http://{self._host}:{self.http_port}"

    @property
    def _host(self) -> str:
        return f"[{self.from_here}]" if ":" in self.from_here else self.from_here


def opened(wanted: Binding, reserve: Callable[[str], tuple[str, int]]) -> Binding:
    """The binding whose ports `reserve` (of the holder) has opened: from now on they are taken.

    Raises `Failure` when one can't be had.
    """
    _refuse_repeated(
        ("--ingress-port", wanted.ingress_port),
        ("--http-port", wanted.http_port),
        ("--ingress-tls-port", wanted.ingress_tls_port),
    )
    return replace(
        wanted,
        ingress_port=_open(wanted, reserve, f"{_GATEWAY}{HTTP_OF_GATEWAYS}", "--ingress-port"),
        http_port=_open(wanted, reserve, "http", "--http-port"),
    )


def _refuse_repeated(*options: tuple[str, int]) -> None:
    for (one, port), (other, same) in combinations(options, 2):
        if port and port == same:
            raise Usage(f"{one} and {other} are both {port}: give each its own")


def _open(
    wanted: Binding, reserve: Callable[[str], tuple[str, int]], name: str, option: str
) -> int:
    try:
        return reserve(name)[1]
    except NoSuchAddress:
        raise Failure(
            f"--bind {wanted.address}: this machine has no such address; see `ip address`, or "
            "leave --bind away for 127.0.0.1"
        ) from None
    except PortError as error:
        raise Failure(f"{error} ({wanted.address}); choose another with {option}, or 0") from None
