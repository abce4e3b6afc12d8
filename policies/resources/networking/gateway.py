"""Gateway: the ports that a pool of gateways opens, and for which hosts."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tulle.policies.resources.base import Maybe, Resource, UInt32

TlsVersion = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]


class TlsCertificate(Resource):
    """A certificate in files of the gateway."""

    server_certificate: Maybe[str] = None
    private_key: Maybe[str] = None
    ca_certificates: Maybe[str] = None


class ServerTls(Resource):
    """How a server ends TLS."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("tls_certificates", "credential_names"),
        ("credential_name", "credential_names"),
        ("credential_name", "tls_certificates"),
    )

    https_redirect: Maybe[bool] = None
    mode: Maybe[
        Literal[
            "PASSTHROUGH",
            "SIMPLE",
            "MUTUAL",
            "AUTO_PASSTHROUGH",
            "ISTIO_MUTUAL",
            "OPTIONAL_MUTUAL",
        ]
    ] = None
    server_certificate: Maybe[str] = None
    private_key: Maybe[str] = None
    ca_certificates: Maybe[str] = None
    ca_crl: Maybe[str] = None
    credential_name: Maybe[str] = None
    credential_names: Maybe[Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]] = None
    ca_cert_credential_name: Maybe[str] = None
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: Maybe[TlsVersion] = None
    max_protocol_version: Maybe[TlsVersion] = None
    cipher_suites: tuple[str, ...] = ()
    tls_certificates: Maybe[
        Annotated[tuple[TlsCertificate, ...], Field(min_length=1, max_length=2)]
    ] = None
    insecure_skip_verify: bool | None = None


class Port(Resource):
    """A port that the gateway opens."""

    number: UInt32
    protocol: str
    name: str
    target_port: Maybe[UInt32] = None


class Server(Resource):
    """A port and its hosts: `host`, `*.suffix` or `*`, each may begin with `namespace/`."""

    port: Port
    hosts: tuple[str, ...]
    name: Maybe[str] = None
    bind: Maybe[str] = None
    tls: Maybe[ServerTls] = None
    default_endpoint: Maybe[str] = None


class Gateway(Resource):
    """The `spec` of a Gateway."""

    kind: ClassVar[Literal["Gateway"]] = "Gateway"

    servers: tuple[Server, ...] = ()
    selector: dict[str, str] = Field(default_factory=dict)
