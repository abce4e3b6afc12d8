"""Two Envoys as a mesh would set them up: a gateway, mTLS with SPIFFE names, a sidecar with RBAC.

As ours: TLS 1.3, both sides show certificates of one CA, the gateway accepts one server name, the
sidecar one caller for some paths, and x-forwarded-client-cert tells the app who called. `metrics`:
with labelled request metrics at both; else with Envoy's own statistics alone.
"""

from dataclasses import dataclass
from pathlib import Path

from tulle.load.envoy import TYPES, Value, bootstrap, cluster, connections, listener
from tulle.load.envoy_metrics import request_metrics
from tulle.load.scenarios import PREFIXES


@dataclass(frozen=True, slots=True)
class Party:
    """A SPIFFE id, and the PEM files that prove it."""

    spiffe_id: str
    certificate: Path
    key: Path


def gateway(
    port: int,
    sidecar: int,
    collector: int,
    own: Party,
    peer: str,
    roots: Path,
    metrics: bool = True,
) -> str:
    """The Envoy that wrk talks to; it talks to the one on port `sidecar` as `own`."""
    context = "extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    tls = _tls(context, {"common_tls_context": _common(own, peer, roots)})
    backend = cluster("backend", sidecar) | {"transport_socket": tls}
    manager = connections([])
    if metrics:
        manager["access_log"] = [request_metrics("source", "%UPSTREAM_PEER_URI_SAN%")]
    return bootstrap(listener(port, manager), backend, collector)


def sidecar(
    port: int,
    app: int,
    collector: int,
    own: Party,
    caller: str,
    roots: Path,
    metrics: bool = True,
) -> str:
    """The Envoy in front of the app; lets `caller` in, for GETs of the first prefix."""
    context = "extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    common = _common(own, "", roots)
    tls = _tls(context, {"require_client_certificate": True, "common_tls_context": common})
    manager = connections([_rbac(caller)]) | {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"subject": True, "uri": True},
    }
    if metrics:
        manager["access_log"] = [request_metrics("destination", "%DOWNSTREAM_PEER_URI_SAN%")]
    return bootstrap(listener(port, manager, tls), cluster("backend", app), collector)


def _tls(context: str, fields: Value) -> Value:
    config: Value = {"@type": f"{TYPES}.{context}"} | fields
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _common(own: Party, peer: str, roots: Path) -> Value:
    validation: Value = {"trusted_ca": {"filename": str(roots)}}
    if peer:
        match = {"san_type": "URI", "matcher": {"exact": peer}}
        validation["match_typed_subject_alt_names"] = [match]
    certificate = {
        "certificate_chain": {"filename": str(own.certificate)},
        "private_key": {"filename": str(own.key)},
    }
    version = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    return {
        "tls_params": version,
        "tls_certificates": [certificate],
        "validation_context": validation,
    }


def _rbac(caller: str) -> Value:
    path: Value = {"url_path": {"path": {"prefix": PREFIXES[0]}}}
    method: Value = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}
    policy: Value = {
        "permissions": [{"and_rules": {"rules": [path, method]}}],
        "principals": [{"authenticated": {"principal_name": {"exact": caller}}}],
    }
    config: Value = {
        "@type": f"{TYPES}.extensions.filters.http.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {"bench": policy}},
    }
    return {"name": "envoy.filters.http.rbac", "typed_config": config}
