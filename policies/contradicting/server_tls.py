"""What the `tls` of a Gateway's server says and can't mean."""

from collections.abc import Iterator, Mapping

from tulle.policies.contradicting.common import relative_file
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.resources.networking.gateway import Server, ServerTls

_OWN = ("serverCertificate", "privateKey")
_FILES = (*_OWN, "caCertificates")
_VERSIONS = ("TLSV1_2", "TLSV1_3")


def server_tls(document: Document, path: Path, server: Server) -> Iterator[Problem]:
    """What the protocol asks for and excludes. `path` is of the server."""
    protocol, tls = server.port.protocol.upper(), server.tls
    if tls is None:
        if protocol == "HTTPS":
            message = "a HTTPS server needs tls with a mode, and certificates or credentialName"
            yield document.problem("contradiction", path, message)
    elif protocol == "HTTPS":
        yield from _https(document, (*path, "tls"), tls)
    elif protocol == "HTTP":
        for name in _written(tls):
            message = f"{name} is of HTTPS; the tls of a HTTP server can have httpsRedirect alone"
            yield document.problem("contradiction", (*path, "tls", name), message)


def _https(document: Document, path: Path, tls: ServerTls) -> Iterator[Problem]:
    written = _written(tls)
    for name in filter(written.__contains__, _FILES):
        yield from relative_file(document, (*path, name), written[name])
    if tls.https_redirect:
        message = "has no effect on a HTTPS server; it is for one of HTTP"
        yield document.problem("contradiction", (*path, "httpsRedirect"), message, "warning")
    if tls.mode is None:
        message = "mode is PASSTHROUGH when absent, which is not supported yet; supported: "
        yield document.problem("not-supported-yet", path, f"{message}SIMPLE, MUTUAL")
    elif tls.mode in ("SIMPLE", "MUTUAL"):
        yield from _certificates(document, path, tls.mode, written)
    low, high = tls.min_protocol_version, tls.max_protocol_version
    if low in _VERSIONS and high in _VERSIONS and _VERSIONS.index(low) > _VERSIONS.index(high):
        message = f"is above maxProtocolVersion, {high}"
        yield document.problem("contradiction", (*path, "minProtocolVersion"), message)


def _certificates(
    document: Document, path: Path, mode: str, written: Mapping[str, str]
) -> Iterator[Problem]:
    if "credentialName" in written:
        for name in filter(written.__contains__, _FILES):
            message = f"{name} and credentialName are given together; give only one of them"
            yield document.problem("contradiction", (*path, name), message)
        return
    needed = _OWN if mode == "SIMPLE" else _FILES
    missing = [name for name in needed if name not in written]
    if missing:
        message = (
            f"mode {mode} needs {listed(needed)}, or credentialName: {listed(missing)} missing"
        )
        yield document.problem("contradiction", path, message)
    if mode == "SIMPLE" and "caCertificates" in written:
        message = "asks for client certificates, which is mode MUTUAL; SIMPLE asks for none"
        yield document.problem("contradiction", (*path, "caCertificates"), message)


def _written(tls: ServerTls) -> Mapping[str, str]:
    """The fields of HTTPS alone that say something, by their names in the document."""
    fields = {
        "mode": tls.mode,
        "serverCertificate": tls.server_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "credentialName": tls.credential_name,
        "minProtocolVersion": tls.min_protocol_version,
        "maxProtocolVersion": tls.max_protocol_version,
    }
    return {name: value for name, value in fields.items() if value}
