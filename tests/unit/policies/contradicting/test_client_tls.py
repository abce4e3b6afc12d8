"""TLS towards upstreams that can't be meant."""

import pytest

from tests.support.one_document import problems_of, sole

FILES = "clientCertificate: /c, privateKey: /k"


def spec(tls: str) -> str:
    return f"host: a\ntrafficPolicy:\n  tls: {{{tls}}}"


@pytest.mark.parametrize(
    "tls",
    [
        "mode: DISABLE",
        "mode: ISTIO_MUTUAL",
        "mode: SIMPLE",
        "mode: SIMPLE, caCertificates: /r, sni: a, subjectAltNames: [a]",
        "mode: SIMPLE, credentialName: x",
        "mode: SIMPLE, insecureSkipVerify: true, sni: a",
        "mode: SIMPLE, insecureSkipVerify: false, caCertificates: /r",
        f"mode: MUTUAL, {FILES}",
        f"mode: MUTUAL, {FILES}, caCertificates: /r",
        "mode: MUTUAL, credentialName: x",
    ],
)
def test_what_makes_sense(tls: str) -> None:
    assert problems_of("DestinationRule", spec(tls)) == []


@pytest.mark.parametrize(
    ("tls", "field", "message"),
    [
        ("sni: a", "", "tls needs a mode (DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL)"),
        ("mode: DISABLE, sni: a", ".sni", "sni has no meaning with mode DISABLE; remove it"),
        (
            "mode: ISTIO_MUTUAL, caCertificates: /r",
            ".caCertificates",
            "no meaning with mode ISTIO_MUTUAL",
        ),
        (
            "mode: SIMPLE, clientCertificate: /c",
            ".clientCertificate",
            "is shown only with mode MUTUAL",
        ),
        ("mode: MUTUAL", "", "needs clientCertificate, privateKey, or credentialName"),
        ("mode: MUTUAL, clientCertificate: /c", "", "privateKey missing"),
        (
            "mode: MUTUAL, credentialName: x, privateKey: /k",
            ".privateKey",
            "privateKey and credentialName are given together",
        ),
        (
            "mode: SIMPLE, credentialName: x, caCertificates: /r",
            ".caCertificates",
            "caCertificates and credentialName are given together",
        ),
        (
            "mode: SIMPLE, insecureSkipVerify: true, caCertificates: /r",
            ".caCertificates",
            "is not checked with insecureSkipVerify",
        ),
        (
            "mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]",
            ".subjectAltNames",
            "is not checked with insecureSkipVerify",
        ),
    ],
)
def test_what_does_not(tls: str, field: str, message: str) -> None:
    where = f"spec.trafficPolicy.tls{field}"
    assert sole("DestinationRule", spec(tls), message) == ("error", "contradiction", where)


def test_a_file_has_an_absolute_path() -> None:
    found = sole("DestinationRule", spec("mode: SIMPLE, caCertificates: ca.pem"), '"ca.pem"')
    assert found == ("error", "schema", "spec.trafficPolicy.tls.caCertificates")
