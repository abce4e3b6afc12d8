"""`tulle credential add`, `delete` and `list`: certificates that gateways end TLS with.

A key is read from its file and goes to the supervisor alone; no answer has it.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tulle.bus.keeping import (
    CredentialAddRequest,
    CredentialDeleteRequest,
    CredentialListRequest,
    CredentialReport,
    CredentialsAnswer,
)
from tulle.bus.messages import Answer
from tulle.deploy import settings
from tulle.deploy.api import AnswerT, new_id
from tulle.deploy.cli import output
from tulle.deploy.cli.options import Form, Mesh, Output, World, world
from tulle.deploy.errors import Usage

CredentialRequest = CredentialAddRequest | CredentialDeleteRequest | CredentialListRequest

Name = Annotated[str, typer.Argument(metavar="NAME", help="As a Gateway's credentialName.")]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    group = typer.Typer(
        no_args_is_help=True, help="Certificates for gateways.", rich_markup_mode=None
    )
    example = "Example: tulle credential add bookstore --cert bookstore.pem --key bookstore.key"
    group.command(epilog=example)(add)
    group.command(epilog="Example: tulle credential delete bookstore")(delete)
    group.command("list", epilog="Example: tulle credential list -o json")(show)
    app.add_typer(group, name="credential")


def add(
    context: typer.Context,
    name: Name,
    cert: Annotated[
        Path, typer.Option("--cert", metavar="FILE", help="PEM: the certificate, then its chain.")
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="PEM, not encrypted.")],
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="PEM: who signs clients (MUTUAL).")
    ] = None,
    mesh: Mesh = None,
    form: Output = Form.TABLE,
) -> None:
    """Store a certificate with its key, or replace one; gateways take it at once."""
    request = CredentialAddRequest(
        id=new_id(),
        name=name,
        certificate=_read(cert, 262_144),
        private_key=_read(key, 65_536),
        ca=_read(ca, 262_144) if ca is not None else "",
    )
    answer = asyncio.run(_request(world(context), settings.read(mesh), "add", request, Answer))
    _show_change(answer, form)


def delete(
    context: typer.Context, name: Name, mesh: Mesh = None, form: Output = Form.TABLE
) -> None:
    """Delete a certificate and its key."""
    request = CredentialDeleteRequest(id=new_id(), name=name)
    answer = asyncio.run(_request(world(context), settings.read(mesh), "delete", request, Answer))
    _show_change(answer, form)


def show(context: typer.Context, mesh: Mesh = None, form: Output = Form.TABLE) -> None:
    """Show which certificates there are, never a key."""
    request = CredentialListRequest(id=new_id())
    answer = asyncio.run(
        _request(world(context), settings.read(mesh), "list", request, CredentialsAnswer)
    )
    if form is Form.JSON:
        typer.echo(output.as_json(answer))
    output.show_problems(answer)
    output.refuse(answer, "the mesh did not say its credentials")
    if form is Form.TABLE:
        typer.echo(_table(answer.credentials))


async def _request(
    to: World,
    of: settings.Settings,
    verb: str,
    request: CredentialRequest,
    expected: type[AnswerT],
) -> AnswerT:
    async with to.connect(of) as api:
        return await api.ask(api.subjects.api_credential(verb), request, expected)


def _show_change(answer: Answer, form: Form) -> None:
    if form is Form.JSON:
        typer.echo(output.as_json(answer))
    output.show_problems(answer)
    output.refuse(answer, "refused, nothing was changed")
    if form is Form.TABLE:
        for change in answer.changes:
            typer.echo(change)


def _table(credentials: list[CredentialReport]) -> str:
    rows = [
        (one.name, ", ".join(one.hosts), _day(one.not_after), "yes" if one.has_ca else "no")
        for one in credentials
    ]
    return output.table(("CREDENTIAL", "HOSTS", "VALID UNTIL", "CLIENT CA"), rows)


def _day(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M} UTC"


def _read(path: Path, most: int) -> str:
    """The text of a file. What is wrong is said without a word of its content."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Usage(f"can't read {path}: {error.strerror}") from None
    if len(data) > most:
        raise Usage(f"{path} has {len(data)} bytes, {most} are the most for it: is it PEM?")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise Usage(f"{path} is not PEM, which is text") from None
