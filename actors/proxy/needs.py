"""The keys that a proxy holds: which come first, what their values are, what these need in turn.

Counterpart: machine.py, which holds them.
"""

import contextlib

from tulle.actors.proxy.events import Installable, Ref
from tulle.actors.proxy.spec import ProxySpec
from tulle.bus import codec, keys
from tulle.bus.errors import Undecodable
from tulle.bus.keeping import CredentialRecord
from tulle.bus.messages import ServiceRecord
from tulle.bus.subjects import Bucket
from tulle.policies import config as configs
from tulle.policies.config import GatewayConfig, OutboundConfig
from tulle.policies.steps import Steps, finished


def first_keys(spec: ProxySpec, root_namespace: str) -> list[Ref]:
    """What a proxy always holds, and has before it listens."""
    inbound = sorted({spec.namespace, root_namespace})
    own = [keys.gateway(spec.pool)] if spec.role == "gateway" else []
    return [Ref(Bucket.CONFIG, key) for key in (keys.HOSTS, *map(keys.inbound, inbound), *own)]


def decode(ref: Ref, value: bytes) -> Installable:
    """The value of a held key. Raises `ValueError` when it is not what the key promises."""
    return finished(decoding(ref, value))


def decoding(ref: Ref, value: bytes) -> Steps[Installable]:
    """`decode` in steps."""
    if ref.bucket is Bucket.CREDENTIALS:
        return _decode_credential(ref, value)
    try:
        if ref.bucket is Bucket.REGISTRY:
            return codec.decode(ServiceRecord, value)
        data = codec.unpack(value)
        yield
        config = yield from configs.decoding(data)
    except Undecodable as error:
        raise ValueError(str(error)) from error
    if str(keys.Key(keys.KeyKind(config.kind), configs.key(config)[1:])) != ref.key:
        raise ValueError(f"holds the config of {'.'.join(configs.key(config))}")
    return config


def _decode_credential(ref: Ref, value: bytes) -> CredentialRecord:
    """Says nothing of the value: it has a private key."""
    (name,) = keys.parse_key(ref.key).parts
    with contextlib.suppress(Undecodable):
        record = codec.decode(CredentialRecord, value)
        if record.name == name:
            return record
    raise ValueError(
        f"no credential; write it anew: `tulle credential add {name} --cert FILE --key FILE`"
    )


def needs_of(config: OutboundConfig | GatewayConfig) -> frozenset[Ref]:
    """What is to be known before the config is in use; credentials are for gateways alone."""
    services = services_of(config)
    return services | credentials_of(config) if isinstance(config, GatewayConfig) else services


def credentials_of(config: GatewayConfig) -> frozenset[Ref]:
    """The credentials that a gateway's servers and clusters name."""
    servers = (server.credential for listener in config.listeners for server in listener.tls)
    clients = (it.upstream_tls.credential for it in config.clusters if it.upstream_tls)
    named = {name for name in (*servers, *clients) if name}
    return frozenset(Ref(Bucket.CREDENTIALS, keys.credential(name)) for name in named)


def services_of(config: OutboundConfig | GatewayConfig) -> frozenset[Ref]:
    """The registry's records that a config's clusters need."""
    named = {cluster.service for cluster in config.clusters if cluster.service}
    return frozenset(
        Ref(Bucket.REGISTRY, keys.service(*service.split("/", 1))) for service in named
    )


def is_outbound(ref: Ref) -> bool:
    """Whether `ref` is the config of one host."""
    return ref.bucket is Bucket.CONFIG and ref.key.startswith(f"{keys.KeyKind.OUTBOUND.value}.")
