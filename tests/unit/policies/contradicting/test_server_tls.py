"""TLS of a Gateway's servers that can't be meant."""

import pytest

from tests.support.one_document import problems_of, sole

FILES = "serverCertificate: /c, privateKey: /k"


def spec(protocol: str, tls: str) -> str:
    text = f"servers:\n- port: {{number: 443, name: a, protocol: {protocol}}}\n  hosts: ['*']"
    return f"{text}\n  tls: {{{tls}}}" if tls else text


@pytest.mark.parametrize(
    ("protocol", "tls"),
    [
        ("HTTP", "httpsRedirect: true"),
        ("HTTPS", f"mode: SIMPLE, {FILES}"),
        ("https", "mode: SIMPLE, credentialName: x"),
        ("HTTPS", f"mode: MUTUAL, {FILES}, caCertificates: /r"),
        ("HTTPS", "mode: MUTUAL, credentialName: x"),
        (
            "HTTPS",
            "mode: SIMPLE, credentialName: x, minProtocolVersion: TLSV1_2, "
            "maxProtocolVersion: TLSV1_3",
        ),
        (
            "HTTPS",
            "mode: SIMPLE, credentialName: x, minProtocolVersion: TLSV1_3, "
            "maxProtocolVersion: TLS_AUTO",
        ),
        ("TLS", "mode: PASSTHROUGH"),
    ],
)
def test_what_makes_sense(protocol: str, tls: str) -> None:
    assert problems_of("Gateway", spec(protocol, tls)) == []


@pytest.mark.parametrize(
    ("protocol", "tls", "code", "field", "message"),
    [
        ("HTTPS", "", "contradiction", "", "a HTTPS server needs tls with a mode"),
        ("HTTPS", "credentialName: x", "not-supported-yet", ".tls", "PASSTHROUGH when absent"),
        ("HTTP", "mode: SIMPLE", "contradiction", ".tls.mode", "can have httpsRedirect alone"),
        ("HTTPS", "mode: SIMPLE", "contradiction", ".tls", "serverCertificate, privateKey missing"),
        (
            "HTTPS",
            "mode: SIMPLE, serverCertificate: /c",
            "contradiction",
            ".tls",
            "or credentialName: privateKey missing",
        ),
        ("HTTPS", f"mode: MUTUAL, {FILES}", "contradiction", ".tls", "caCertificates missing"),
        (
            "HTTPS",
            f"mode: SIMPLE, {FILES}, caCertificates: /r",
            "contradiction",
            ".tls.caCertificates",
            "SIMPLE asks for none",
        ),
        (
            "HTTPS",
            "mode: MUTUAL, credentialName: x, caCertificates: /r",
            "contradiction",
            ".tls.caCertificates",
            "are given together",
        ),
        (
            "HTTPS",
            "mode: SIMPLE, credentialName: x, privateKey: k",
            "schema",
            ".tls.privateKey",
            'must be an absolute path on the host of the proxy, not "k"',
        ),
        (
            "HTTPS",
            "mode: SIMPLE, credentialName: x, minProtocolVersion: TLSV1_3, "
            "maxProtocolVersion: TLSV1_2",
            "contradiction",
            ".tls.minProtocolVersion",
            "is above maxProtocolVersion, TLSV1_2",
        ),
    ],
)
def test_what_does_not(protocol: str, tls: str, code: str, field: str, message: str) -> None:
    found = [p for p in problems_of("Gateway", spec(protocol, tls)) if p.code == code]
    assert [(p.severity, p.path) for p in found] == [("error", f"spec.servers[0]{field}")]
    assert message in found[0].message


def test_a_redirect_of_https_is_a_warning() -> None:
    text = spec("HTTPS", "mode: SIMPLE, credentialName: x, httpsRedirect: true")
    where = "spec.servers[0].tls.httpsRedirect"
    assert sole("Gateway", text, "has no effect") == ("warning", "contradiction", where)
