"""What an operator keeps in the mesh besides policies: certificates of gateways, and runners.

Counterpart: bus.messages, which has all else that travels on NATS.
"""

from pydantic import Field

from tulle.bus.messages import Answer, Message, Request

# -- credentials ----------------------------------------------------------------------------


class CredentialRecord(Message):
    """Credentials key `credential.<name>`: what a gateway ends TLS with; all PEM.

    `ca`: of client certificates (MUTUAL). Never logged: it holds a private key.
    """

    name: str
    certificate: str = Field(max_length=262_144, repr=False)
    private_key: str = Field(max_length=65_536, repr=False)
    ca: str = Field(default="", max_length=262_144, repr=False)


# -- api.credential.* -----------------------------------------------------------------------


class CredentialAddRequest(Request):
    """api.credential.add: a certificate (the leaf first), its key, and the CA of clients; PEM."""

    name: str
    certificate: str = Field(max_length=262_144, repr=False)
    private_key: str = Field(max_length=65_536, repr=False)
    ca: str = Field(default="", max_length=262_144, repr=False)


class CredentialDeleteRequest(Request):
    """api.credential.delete."""

    name: str


class CredentialListRequest(Request):
    """api.credential.list."""


class CredentialReport(Message):
    """A credential without its key. `hosts`: of the certificate; `not_after`: Unix seconds."""

    name: str
    hosts: list[str] = Field(default_factory=list)
    not_after: float
    has_ca: bool = False


class CredentialsAnswer(Answer):
    """The answer of api.credential.list."""

    credentials: list[CredentialReport] = Field(default_factory=list)


# -- api.runner.* ---------------------------------------------------------------------------


class RunnerRecord(Message):
    """Desired key `runner.<name>`: who may start `account` of `namespace`, and nothing else.

    `user`: its public NATS key. `created`: Unix seconds.
    """

    name: str
    namespace: str
    account: str
    user: str
    created: float


class RunnerAddRequest(Request):
    """api.runner.add. `user`: the public key of a new user; who asks keeps its seed."""

    name: str
    namespace: str = "default"
    account: str
    user: str = Field(max_length=64)


class RunnerAnswer(Answer):
    """The answer of api.runner.add: with the seed, all that credentials are made of."""

    url: str = ""
    user: str = ""
    jwt: str = ""
    ca: str = ""  # PEM; empty: the server has no TLS, or one that the system's authorities know


class RunnerRemoveRequest(Request):
    """api.runner.remove: the user is out at once."""

    name: str


class RunnerListRequest(Request):
    """api.runner.list."""


class RunnersAnswer(Answer):
    """The answer of api.runner.list."""

    runners: list[RunnerRecord] = Field(default_factory=list)
