"""What `tulle run` is asked for, checked before anything is touched."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tulle.deploy.errors import Usage
from tulle.deploy.ports import PortArgument, parse_ports

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # a DNS label: it is part of a host
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")  # as Kubernetes'
_LABEL_KEY = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Made by `parse`."""

    service: str
    command: tuple[str, ...]
    ports: tuple[PortArgument, ...]
    version: str
    namespace: str
    account: str
    labels: tuple[tuple[str, str], ...]
    health: str

    @classmethod
    def parse(
        cls,
        *,
        service: str,
        command: Sequence[str],
        ports: Sequence[str] = (),
        version: str = "",
        namespace: str = "default",
        account: str = "",
        labels: Sequence[str] = (),
        health: str = "",
    ) -> "RunOptions":
        """The options of a command line. Raises `Usage`. Without an account it is the service's."""
        if health and (not health.startswith("/") or not health.isascii() or " " in health):
            raise Usage(f"--health {health!r}: a path is needed, as in /healthz")
        if health and not ports:
            raise Usage("--health asks on the first --port: say one")
        parsed = tuple(parse_ports(ports))
        if health and parsed[0].protocol != "http":
            raise Usage(f"--health asks by HTTP on the first --port: {ports[0]} is none of HTTP")
        return cls(
            service=_name("SERVICE", service),
            command=tuple(command),
            ports=parsed,
            version=_value("--version", version),
            namespace=_name("--namespace", namespace),
            account=_name("--service-account", account or service),
            labels=tuple(sorted(map(_label, labels))),
            health=health,
        )


def _name(what: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Usage(
            f"{what} {text!r}: use 1 to 63 small letters, digits and hyphens, as in reviews"
        )
    return text


def _value(what: str, text: str) -> str:
    if not _LABEL_VALUE.fullmatch(text):
        raise Usage(f"{what} {text!r}: use up to 63 letters, digits, `-`, `_` and `.`, as in v1")
    return text


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not _LABEL_KEY.fullmatch(key):
        raise Usage(f"--label {text!r}: the form is KEY=VALUE, as in team=books")
    return key, _value(f"--label {key}", value)
