"""What a proxy executes: compiled values, their wire form and content hash.

Four kinds, each complete in itself: `hosts`, `outbound/<host>`, `inbound/<namespace>`,
`gateway/<pool>`. Made by `policies.compile`, executed by `policies.decide` and the proxy.
Endpoints are not in here: proxies take them from the registry.
"""

from tulle.policies.config.clusters import (
    DEFAULT_OUTLIER,
    Balancer,
    Cluster,
    ConnectionLimits,
    Outlier,
    PeerMode,
    StaticEndpoint,
    UpstreamTls,
)
from tulle.policies.config.gateway import (
    GatewayConfig,
    GatewayListener,
    ServerTls,
    VirtualHost,
)
from tulle.policies.config.inbound import (
    AuthorizationConfig,
    AuthorizationRule,
    Condition,
    InboundConfig,
    OperationMatch,
    PeerAuthenticationConfig,
    SourceMatch,
)
from tulle.policies.config.labels import (
    Labels,
)
from tulle.policies.config.outbound import (
    HostEntry,
    HostsConfig,
    OutboundConfig,
    PortRoutes,
)
from tulle.policies.config.routes import (
    AUTHORITY,
    DirectResponse,
    Edits,
    Fault,
    HeaderEdits,
    HttpMatch,
    Redirect,
    RetryPolicy,
    Rewrite,
    Route,
    StringMatch,
    Target,
)
from tulle.policies.config.wire import (
    VERSION,
    Config,
    decode,
    decoding,
    encode,
    key,
)

__all__ = [
    "AUTHORITY",
    "DEFAULT_OUTLIER",
    "VERSION",
    "AuthorizationConfig",
    "AuthorizationRule",
    "Balancer",
    "Cluster",
    "Condition",
    "Config",
    "ConnectionLimits",
    "DirectResponse",
    "Edits",
    "Fault",
    "GatewayConfig",
    "GatewayListener",
    "HeaderEdits",
    "HostEntry",
    "HostsConfig",
    "HttpMatch",
    "InboundConfig",
    "Labels",
    "OperationMatch",
    "OutboundConfig",
    "Outlier",
    "PeerAuthenticationConfig",
    "PeerMode",
    "PortRoutes",
    "Redirect",
    "RetryPolicy",
    "Rewrite",
    "Route",
    "ServerTls",
    "SourceMatch",
    "StaticEndpoint",
    "StringMatch",
    "Target",
    "UpstreamTls",
    "VirtualHost",
    "decode",
    "decoding",
    "encode",
    "key",
]
