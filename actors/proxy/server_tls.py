"""How gateways end TLS: a context for each server of their config, chosen by the hello's SNI.

A server whose certificate can't be used refuses its own names and is a problem in the proxy's
status; all others work. Counterparts: listener.py, which asks; material.py, which reads.
"""

import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tulle.actors.proxy.material import Material, Materials, Source, Stamp, Unusable
from tulle.actors.proxy.tls import load_chain
from tulle.policies.config import GatewayListener, ServerTls
from tulle.policies.hostnames import is_wildcard, specific_first

_VERSIONS: Final = {
    "": None,
    "TLSV1_2": ssl.TLSVersion.TLSv1_2,
    "TLSV1_3": ssl.TLSVersion.TLSv1_3,
}


@dataclass(slots=True)
class _Made:
    """`context` None: handshakes are refused. `problem` is empty when all is well."""

    stamp: Stamp
    context: ssl.SSLContext | None
    problem: str


class ServerNames:
    """Which server of a listener a name belongs to: exact ones first, then the longest wildcard."""

    def __init__(self, servers: Sequence[ServerTls]) -> None:
        by_host: dict[str, ServerTls] = {}
        for server in servers:
            for host in server.hosts:
                by_host.setdefault(host.lower(), server)
        self._otherwise = by_host.pop("*", None)
        self._exact = {host: it for host, it in by_host.items() if not is_wildcard(host)}
        wildcards = sorted(filter(is_wildcard, by_host), key=specific_first)
        self._wildcards = [(host[1:], by_host[host]) for host in wildcards]
        self.several = len(servers) > 1
        self.verifies = any(server.mode == "MUTUAL" for server in servers)

    def find(self, sni: str) -> ServerTls | None:
        """The server for `sni`, in lower case; without a name, that of `*`."""
        found = self._exact.get(sni)
        if found is not None:
            return found
        for suffix, server in self._wildcards:
            if sni.endswith(suffix) and len(sni) > len(suffix):
                return server
        return self._otherwise


class ServerContexts:
    """Of one gateway. `problems` are sentences, without secrets."""

    def __init__(self, materials: Materials) -> None:
        self._materials = materials
        self._names: Mapping[int, ServerNames] = {}
        self._made: dict[ServerTls, _Made] = {}

    def install(self, listeners: Iterable[GatewayListener]) -> None:
        """The servers of all ports; makes what is new."""
        https = [listener for listener in listeners if listener.protocol == "HTTPS"]
        self._names = {listener.port: ServerNames(listener.tls) for listener in https}
        servers = dict.fromkeys(server for listener in https for server in listener.tls)
        self._made = {
            server: self._made.get(server) or _Made(("new",), None, "") for server in servers
        }
        self.refresh()

    def refresh(self) -> None:
        """Makes anew what changed on disk or in the mesh."""
        for server, made in self._made.items():
            source = _source(server)
            stamp = self._materials.stamp(source)
            if stamp != made.stamp:
                made.stamp = stamp
                self._make(server, source, made)

    @property
    def problems(self) -> tuple[str, ...]:
        """Of each server that can't be used, or not as it is now."""
        return tuple(made.problem for made in self._made.values() if made.problem)

    def encrypted(self, port: int) -> bool:
        """Whether a port is HTTPS."""
        return port in self._names

    def names(self, port: int) -> ServerNames | None:
        """The servers of a port; None: it is not HTTPS."""
        return self._names.get(port)

    def choose(self, port: int, sni: str) -> ssl.SSLContext | None:
        """The context of a handshake; None: it is refused."""
        names = self._names.get(port)
        server = names.find(sni) if names is not None else None
        return self._made[server].context if server is not None else None

    def _make(self, server: ServerTls, source: Source, made: _Made) -> None:
        try:
            made.context = server_context(server, self._materials.read(source))
            made.problem = ""
        except Unusable as error:
            made.problem = f"TLS for {', '.join(server.hosts)}: {error}"
            # A file may just be being written. But what was taken away is not used any more.
            if not self._materials.has(source):
                made.context = None


def server_context(server: ServerTls, material: Material) -> ssl.SSLContext:
    """Raises Unusable.

    No session tickets: each connection is verified against what holds at that moment.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = _VERSIONS[server.min_version] or ssl.TLSVersion.TLSv1_2
    context.maximum_version = _VERSIONS[server.max_version] or ssl.TLSVersion.TLSv1_3
    source = _source(server)
    load_material(context, source, material)
    if server.mode == "MUTUAL":
        if not material.ca:
            raise Unusable(f"{source} has no CA, which mode MUTUAL needs to verify clients")
        context.verify_mode = ssl.CERT_REQUIRED
        load_ca(context, source, material.ca)
    return context


def load_material(context: ssl.SSLContext, source: Source, material: Material) -> None:
    """The certificate that the context shows. Raises Unusable."""
    try:
        load_chain(context, material.key.rstrip() + b"\n" + material.chain)
    except (ssl.SSLError, OSError, ValueError, TypeError) as error:
        why = getattr(error, "reason", None) or "no PEM of both, or the key has a passphrase"
        raise Unusable(f"{source}: certificate and key can't be used ({why})") from None


def load_ca(context: ssl.SSLContext, source: Source, ca: bytes) -> None:
    """Whom the context trusts. Raises Unusable."""
    try:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise Unusable(f"{source}: the CA is no PEM of certificates") from None


def _source(server: ServerTls) -> Source:
    if server.credential:
        return Source(server.credential)
    return Source("", server.certificate, server.private_key, server.ca_certificates)
