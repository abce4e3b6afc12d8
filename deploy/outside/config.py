"""`tulle up --print-nats-config`: what somebody else's nats-server must be told for a mesh.

It has accounts as JWTs (resolver MEMORY), nothing secret. Users are not in it: the server believes
whatever JWT the account's key has signed, so that each proxy can have a user of its own; who there
is and what they may do is told as comments.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from tulle.bus.credentials import Credentials
from tulle.bus.issuer import Issuer, KeysDamaged, read_revoked
from tulle.bus.permissions import ANSWER_SECONDS, ANSWERS, ProxyUser, Role, RunnerUser, rights
from tulle.bus.server import needs
from tulle.bus.subjects import Subjects
from tulle.deploy import home
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.outside.nats import write_users
from tulle.deploy.outside.options import NATS_PORT, Outside

STORE: Final = "nats-store"
CERTIFICATE: Final = "nats-cert.pem"
KEY: Final = "nats-key.pem"
DEFAULT_NATS: Final = f"tls://127.0.0.1:{NATS_PORT}"


def printed(where: Home, mesh: str, outside: Outside) -> str:
    """The configuration; keys and users' files are made in the mesh's folder. Raises `Failure`."""
    outside = outside if outside.nats else Outside(DEFAULT_NATS, outside.ca)
    where.make()
    try:
        issuer, revoked = Issuer.make(where.nats), read_revoked(where.nats)
        if not home.locked(where):  # else the files are those of the mesh that runs
            write_users(where, Subjects(mesh), outside)
    except (KeysDamaged, OSError) as error:
        raise Failure(str(error)) from error
    server = {
        "host": outside.nats_host,
        "port": outside.nats_port,
        **({"tls": {"cert_file": CERTIFICATE, "key_file": KEY}} if outside.has_tls else {}),
        **needs(STORE),
    }
    accounts = issuer.configuration(mesh, revoked)
    parts = (
        _head(mesh, outside, where),
        _lines(server),
        _account_notes(issuer, mesh, revoked),
        _lines(accounts),
        _user_notes(where, mesh),
    )
    return "\n".join(line for part in parts for line in part)


def _head(mesh: str, outside: Outside, where: Home) -> Iterator[str]:
    yield f"# Configuration of nats-server (2.12 or newer) for mesh {mesh} of tulle."
    yield "# Save it as nats.conf, start `nats-server -c nats.conf`, then"
    ray = f" --ray {outside.ray}" if outside.ray else ""
    ca = " --nats-ca FILE" if outside.has_tls else ""
    yield f"# `tulle up --mesh {mesh} --nats {outside.nats}{ca}{ray}`."
    yield f"# Nothing in it is secret. What is secret lies in {where.root} (0600): nats/keys.json,"
    yield "# with which users are made, and the users' files in creds/."
    yield "# Paths are relative to the folder in which nats-server starts: put yours."


def _account_notes(issuer: Issuer, mesh: str, revoked: dict[str, int]) -> Iterator[str]:
    yield ""
    yield "# Accounts, as JWTs that the operator has signed:"
    yield f"#   operator  {issuer.operator.public}"
    yield f"#   SYS       {issuer.system.public}  (of NATS itself)"
    yield f"#   {mesh:<9} {issuer.account.public}  ({len(revoked)} revoked users)"
    yield "# After `tulle runner remove` a running server knows at once that a user is revoked; one"
    yield "# that is started again knows it by this file: print it again."


def _user_notes(where: Home, mesh: str) -> Iterator[str]:
    subjects = Subjects(mesh)
    yield ""
    yield "# Users of account " + mesh + ", with the rights that their JWTs give them."
    for role in Role:
        user = _public(where.creds / f"{role.value}.json")
        yield from _rights_notes(f"{role.value} {user}", role, subjects)
    proxy = ProxyUser("ID", "NAMESPACE", "ACCOUNT")
    yield from _rights_notes("proxy-ID: one for each proxy (gateways: more)", proxy, subjects)
    runner = RunnerUser("NAME", "NAMESPACE", "ACCOUNT")
    yield from _rights_notes("runner-NAME: of `tulle runner add`", runner, subjects)


def _rights_notes(
    title: str, user: Role | ProxyUser | RunnerUser, subjects: Subjects
) -> Iterator[str]:
    granted = rights(user, subjects)
    yield f"#   {title}"
    for verb, allowed in (("publish", granted.publish), ("subscribe", granted.subscribe)):
        for subject in allowed:
            yield f"#     {verb:<9} {subject}"
    if granted.answers:
        yield f"#     answers   {ANSWERS} times within {ANSWER_SECONDS} s"


def _public(path: Path) -> str:
    try:
        return Credentials.read(path).key.public
    except (OSError, ValueError) as error:
        raise Failure(str(error)) from error


def _lines(values: dict[str, object]) -> Iterator[str]:
    """A line each, in JSON, which nats-server reads as its own format."""
    for name, value in values.items():
        yield f"{name}: {orjson.dumps(value).decode()}"
