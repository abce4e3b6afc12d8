"""How a cluster is spoken to."""

import pytest

from tulle.policies.compile.upstream_tls import Security, security_of
from tulle.policies.config import UpstreamTls
from tulle.policies.resources.networking.destination_rule import ClientTls


def test_unset_it_is_mtls_in_the_mesh_and_plain_outside() -> None:
    assert security_of(None, in_mesh=True) == Security("ISTIO_MUTUAL")
    assert security_of(None, in_mesh=False) == Security("DISABLE")


@pytest.mark.parametrize("mode", ["DISABLE", "ISTIO_MUTUAL"])
def test_what_is_written_counts_and_is_known_as_written(mode: str) -> None:
    seen = security_of(ClientTls.model_validate({"mode": mode}), in_mesh=True)
    assert (seen.tls, seen.written, seen.upstream) == (mode, True, None)


def test_every_field_of_mutual_is_there() -> None:
    written = ClientTls.model_validate_json(
        b"""{"mode": "MUTUAL", "clientCertificate": "/c", "privateKey": "/k",
             "caCertificates": "/r", "credentialName": "x", "subjectAltNames": ["b", "a"],
             "sni": "s", "insecureSkipVerify": true}"""
    )
    assert security_of(written, in_mesh=False).upstream == UpstreamTls(
        "MUTUAL",
        sni="s",
        subject_alt_names=("a", "b"),
        ca_certificates="/r",
        client_certificate="/c",
        private_key="/k",
        credential="x",
        insecure_skip_verify=True,
    )


@pytest.mark.parametrize(
    ("mode", "port", "protocol"),
    [
        ("SIMPLE", "https", "http"),
        ("SIMPLE", "tls", "http"),
        ("SIMPLE", "tcp", "tcp"),
        ("DISABLE", "https", "https"),
        ("DISABLE", "http", "http"),
    ],
)
def test_a_port_of_tls_takes_http_only_when_tls_is_originated(
    mode: str, port: str, protocol: str
) -> None:
    security = security_of(ClientTls.model_validate({"mode": mode}), in_mesh=False)
    assert security.protocol(port) == protocol
