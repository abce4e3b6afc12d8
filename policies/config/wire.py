"""The wire form of config, its key and its content hash."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from tulle.policies.config.gateway import GatewayConfig
from tulle.policies.config.inbound import InboundConfig
from tulle.policies.config.outbound import HostsConfig, OutboundConfig
from tulle.policies.config.routes import Route
from tulle.policies.steps import Steps, finished

VERSION = 1
Config = HostsConfig | OutboundConfig | InboundConfig | GatewayConfig
ROUTES_PER_STEP = 16
_ADAPTER: TypeAdapter[Config] = TypeAdapter(Config)
_ROUTES: TypeAdapter[list[Route]] = TypeAdapter(list[Route])


def key(config: Config) -> tuple[str, ...]:
    """The parts of the config's key: `("hosts",)`, `("outbound", host)`, ..."""
    match config:
        case HostsConfig():
            return ("hosts",)
        case OutboundConfig():
            return ("outbound", config.host)
        case InboundConfig():
            return ("inbound", config.namespace)
        case GatewayConfig():
            return ("gateway", config.pool)


def encode(config: Config) -> bytes:
    """The wire form: `{"spec": {...}, "v": 1, "version": <content hash>}`, equal for equals.

    What a config leaves at its default is not written: most routes and clusters say little.
    """
    spec = orjson.dumps(_written(config), option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(spec).hexdigest()[:16]
    return b'{"spec":%b,"v":%d,"version":"%b"}' % (spec, VERSION, digest.encode())


def decode(data: bytes) -> Config:
    """The config of its wire form; ValueError says what is wrong with it."""
    return finished(decoding(data))


def decoding(data: bytes) -> Steps[Config]:
    """`decode`, a step for some of the routes each."""
    wire = orjson.loads(data)
    if not isinstance(wire, dict) or wire.get("v") != VERSION:
        raise ValueError(f"config of version {VERSION} expected, not {data[:80]!r}")
    try:
        for owner in _owners_of_routes(wire.get("spec")):
            routes = owner["routes"]
            yield
            for start in range(0, len(routes), ROUTES_PER_STEP):
                step = slice(start, start + ROUTES_PER_STEP)
                routes[step] = _ROUTES.validate_python(routes[step])
                yield
        return _ADAPTER.validate_python(wire["spec"])
    except ValidationError as error:
        raise ValueError(f"not a config: {error}") from error


def _owners_of_routes(value: Any) -> Iterator[dict[str, Any]]:
    """The mappings in a spec that have a list of routes; what has another form has none."""
    if isinstance(value, list):
        for item in value:
            yield from _owners_of_routes(item)
    elif isinstance(value, dict):
        if isinstance(value.get("routes"), list):
            yield value
        for name in ("ports", "listeners", "virtual_hosts"):
            yield from _owners_of_routes(value.get(name))


def _written(value: Any) -> Any:
    """Dataclasses as mappings without the fields that have their defaults; `kind` tells configs."""
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    if not is_dataclass(value):
        return value
    return {
        field.name: _written(given)
        for field in fields(value)
        if (given := getattr(value, field.name)) != field.default or field.name == "kind"
    }
