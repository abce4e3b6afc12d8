"""What the `tls` of a DestinationRule says and can't mean."""

from collections.abc import Iterator, Mapping

from tulle.policies.contradicting.common import relative_file
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.resources.networking.destination_rule import ClientTls

_OWN = ("clientCertificate", "privateKey")
_FILES = (*_OWN, "caCertificates")


def client_tls(document: Document, path: Path, tls: ClientTls) -> Iterator[Problem]:
    """What the mode leaves without meaning, and what it lacks."""
    written = _written(tls)
    for name in _FILES:
        if name in written and isinstance(written[name], str):
            yield from relative_file(document, (*path, name), str(written[name]))
    match tls.mode:
        case None:
            message = (
                "tls needs a mode (DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL); Istio reads none as "
                "DISABLE, which nobody should get by leaving it out"
            )
            yield document.problem("contradiction", path, message)
        case "DISABLE" | "ISTIO_MUTUAL":
            for name in written:
                message = f"{name} has no meaning with mode {tls.mode}; remove it"
                yield document.problem("contradiction", (*path, name), message)
        case mode:
            yield from _originated(document, path, mode, written)


def _originated(
    document: Document, path: Path, mode: str, written: Mapping[str, object]
) -> Iterator[Problem]:
    own = [name for name in _OWN if name in written]
    if "credentialName" in written:
        for name in filter(written.__contains__, _FILES):
            message = f"{name} and credentialName are given together; give only one of them"
            yield document.problem("contradiction", (*path, name), message)
    elif mode == "SIMPLE":
        for name in own:
            message = f"{name} is shown only with mode MUTUAL; SIMPLE shows no certificate"
            yield document.problem("contradiction", (*path, name), message)
    elif len(own) < len(_OWN):
        missing = listed(name for name in _OWN if name not in own)
        message = f"mode MUTUAL needs {listed(_OWN)}, or credentialName: {missing} missing"
        yield document.problem("contradiction", path, message)
    if "insecureSkipVerify" in written:
        for name in filter(written.__contains__, ("caCertificates", "subjectAltNames")):
            message = f"{name} is not checked with insecureSkipVerify; remove one of them"
            yield document.problem("contradiction", (*path, name), message)


def _written(tls: ClientTls) -> Mapping[str, object]:
    """The fields beside mode that say something, by their names in the document."""
    fields: dict[str, object] = {
        "clientCertificate": tls.client_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "credentialName": tls.credential_name,
        "subjectAltNames": tls.subject_alt_names,
        "sni": tls.sni,
        "insecureSkipVerify": tls.insecure_skip_verify,
    }
    return {name: value for name, value in fields.items() if value}
