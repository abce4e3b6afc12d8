"""`--port [NAME:]APP[:SERVICE][/PROTOCOL]`: which port of the app is which port of the service."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tulle.bus.messages import Protocol
from tulle.deploy.errors import Usage

_FORM = "[NAME:]APP[:SERVICE][/PROTOCOL], as in 9080, 0:9080 or web:8000:80/http"


@dataclass(frozen=True, slots=True)
class PortArgument:
    """One `--port`. `app` 0: a free one is picked, the app finds it in `PORT`."""

    app: int
    service: int
    name: str = ""
    protocol: Protocol = "http"


def parse_ports(arguments: Sequence[str]) -> list[PortArgument]:
    """All `--port` arguments, checked against each other. Raises `Usage`."""
    ports = [_parse(argument) for argument in arguments]
    _refuse_repeated("service port", [str(port.service) for port in ports])
    _refuse_repeated("app port", [str(port.app) for port in ports if port.app])
    _refuse_repeated("name", [port.name for port in ports if port.name])
    for port in ports[1:]:
        if not port.app and not port.name:
            raise Usage(
                f"port {port.service}: only the first port's number is in PORT; "
                f"name this one, as in --port admin:0:{port.service}, for PORT_ADMIN"
            )
    return ports


def with_app(port: PortArgument, number: int) -> PortArgument:
    """The same port, its app's number known."""
    return replace(port, app=number)


def environment(ports: Sequence[PortArgument]) -> dict[str, str]:
    """`PORT`, the first app port, and `PORT_<NAME>` for each that has a name."""
    found = {f"PORT_{_variable(port.name)}": str(port.app) for port in ports if port.name}
    return {"PORT": str(ports[0].app), **found} if ports else found


def _parse(argument: str) -> PortArgument:
    numbers, slash, protocol = argument.partition("/")
    parts = numbers.split(":")
    name = parts.pop(0) if not parts[0].isdigit() else ""
    if not 1 <= len(parts) <= 2 or (not name and argument.startswith(":")):
        raise Usage(f"--port {argument}: the form is {_FORM}")
    app, service = _number(argument, parts[0], 0), _number(argument, parts[-1], 0)
    if service == 0:
        raise Usage(f"--port {argument}: say which port peers use, as in --port 0:9080")
    match protocol if slash else "http":
        case "http" | "tcp" as known:
            return PortArgument(app, service, name, known)
        case _:
            raise Usage(f"--port {argument}: the protocol is http or tcp, not {protocol!r}")


def _number(argument: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= 65535):
        raise Usage(f"--port {argument}: {text!r} is no port; the form is {_FORM}")
    return int(text)


def _refuse_repeated(what: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise Usage(f"two --port have the {what} {value}: give each its own")


def _variable(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()
