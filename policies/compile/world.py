"""World -> all config, and again after a change: only what was compiled from something else.

A key's inputs are a value that holds all it is compiled from (policies, services, other hosts), so
that what a change touches is found by comparison and can't be forgotten. An incremental result
equals a full one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tulle.policies.compile.gateway import GatewayInputs, compile_gateway, gateway_inputs
from tulle.policies.compile.hosts import compile_hosts
from tulle.policies.compile.inbound import InboundInputs, compile_inbound, inbound_inputs
from tulle.policies.compile.outbound import OutboundInputs, compile_outbound, outbound_inputs
from tulle.policies.config import Config, HostsConfig
from tulle.policies.resolve import Index
from tulle.policies.world import World

Key = tuple[str, ...]
"""As `config.key`: `("hosts",)`, `("outbound", host)`, `("inbound", ns)`, `("gateway", pool)`."""

Inputs = OutboundInputs | GatewayInputs | InboundInputs | HostsConfig


@dataclass(frozen=True, slots=True)
class Compilation:
    """All config of a world, by key, with what each was compiled from."""

    configs: Mapping[Key, Config]
    inputs: Mapping[Key, Inputs] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to be published: configs that are new or other than before, keys that are gone."""

    changed: Mapping[Key, Config]
    removed: tuple[Key, ...]


def compile_all(world: World) -> Mapping[Key, Config]:
    """All config of `world`, by key."""
    return compile_world(world).configs


def compile_world(world: World, previous: Compilation | None = None) -> Compilation:
    """All config of `world`; what is in `previous` with equal inputs is not compiled again."""
    for result in compile_in_slices(world, previous):
        if result is not None:
            return result
    raise AssertionError("compile_in_slices ended without a result")


def compile_in_slices(
    world: World, previous: Compilation | None = None, keys_per_slice: int = 50
) -> Iterator[Compilation | None]:
    """As `compile_world`, for an event loop: yields None between slices, at last the result."""
    before = previous.inputs if previous is not None else {}
    inputs = dict(_inputs(world))
    configs: dict[Key, Config] = {}
    for number, (key, value) in enumerate(inputs.items(), start=1):
        if previous is not None and key in before and before[key] == value:
            configs[key] = previous.configs[key]
        else:
            configs[key] = _compile(value)
        if number % keys_per_slice == 0:
            yield None
    yield Compilation(configs, inputs)


def difference(before: Mapping[Key, Config], after: Mapping[Key, Config]) -> Difference:
    """What changes from one compilation to the next."""
    changed = {key: config for key, config in after.items() if before.get(key) != config}
    return Difference(changed, tuple(sorted(key for key in before if key not in after)))


def _inputs(world: World) -> Iterator[tuple[Key, Inputs]]:
    index = Index(world)
    yield ("hosts",), compile_hosts(index)
    for host, namespace in index.hosts.items():
        yield ("outbound", host), outbound_inputs(index, host, namespace)
    for namespace in index.inbound_namespaces:
        yield ("inbound", namespace), inbound_inputs(index, namespace)
    for pool in world.pools:
        yield ("gateway", pool.name), gateway_inputs(index, pool)


def _compile(inputs: Inputs) -> Config:
    match inputs:
        case OutboundInputs():
            return compile_outbound(inputs)
        case GatewayInputs():
            return compile_gateway(inputs)
        case InboundInputs():
            return compile_inbound(inputs)
        case _:
            return inputs
