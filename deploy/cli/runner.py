"""`tulle runner add`, `remove` and `list`: users for `tulle run` that may start one account.

The key is made here and written to a file (0600); the mesh gets its public half.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tulle.bus.keeping import (
    RunnerAddRequest,
    RunnerAnswer,
    RunnerListRequest,
    RunnerRecord,
    RunnerRemoveRequest,
    RunnersAnswer,
)
from tulle.bus.messages import Answer
from tulle.deploy import settings
from tulle.deploy.api import AnswerT, new_id
from tulle.deploy.cli import output
from tulle.deploy.cli.options import Form, Mesh, Output, World, world
from tulle.deploy.errors import Failure, Usage
from tulle.deploy.home import Home

RunnerRequest = RunnerAddRequest | RunnerRemoveRequest | RunnerListRequest

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the runner.")]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Who may start only one service account.",
        rich_markup_mode=None,
    )
    example = "Example: tulle runner add ci --namespace shop --service-account reviews"
    group.command(epilog=example)(add)
    group.command(epilog="Example: tulle runner remove ci")(remove)
    group.command("list", epilog="Example: tulle runner list")(show)
    app.add_typer(group, name="runner")


def add(
    context: typer.Context,
    name: Name,
    service_account: Annotated[
        str, typer.Option("--service-account", metavar="SA", help="The one it may start.")
    ],
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NS")] = "default",
    file: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="[default: creds/runner-NAME.json of the mesh]"
        ),
    ] = None,
    mesh: Mesh = None,
) -> None:
    """Make a user that may start workloads of one service account, and nothing else.

    Which service they are of is theirs to say: a service that the mesh knows already refuses
    another account than its own.
    """
    from tulle.bus import nkeys  # imports cryptography: not for --help
    from tulle.bus.credentials import Credentials

    of = settings.read(mesh)
    path = file if file is not None else Home(of.mesh_folder).creds / f"runner-{name}.json"
    _check_place(path)
    key = nkeys.generate(nkeys.Kind.USER)
    request = RunnerAddRequest(
        id=new_id(), name=name, namespace=namespace, account=service_account, user=key.public
    )
    answer = asyncio.run(_request(world(context), of, "add", request, RunnerAnswer))
    output.show_problems(answer)
    output.refuse(answer, "refused, nothing was changed")
    try:
        Credentials(answer.url, answer.user, answer.jwt, key.seed).write(path)
    except OSError as error:
        raise Failure(
            f"can't write {path}: {error.strerror}; `tulle runner remove {name}`, then try again"
        ) from None
    typer.echo(f"runner {name} may start {namespace}/{service_account}: {path}")
    typer.echo(f"use it as `tulle run --creds {path} ...`, or set TULLE_CREDS")


def remove(context: typer.Context, name: Name, mesh: Mesh = None) -> None:
    """Remove a runner: its connections end at once, and its credentials let nobody in.

    Apps that it started run on, and are no endpoints any more after 6 seconds.
    """
    request = RunnerRemoveRequest(id=new_id(), name=name)
    answer = asyncio.run(_request(world(context), settings.read(mesh), "remove", request, Answer))
    output.show_problems(answer)
    output.refuse(answer, f"runner {name} is not removed")
    typer.echo(f"removed runner {name}; its credentials file is of no use any more")


def show(context: typer.Context, mesh: Mesh = None, form: Output = Form.TABLE) -> None:
    """Show the runners. That of `tulle up` may start all, and is not among them."""
    request = RunnerListRequest(id=new_id())
    answer = asyncio.run(
        _request(world(context), settings.read(mesh), "list", request, RunnersAnswer)
    )
    if form is Form.JSON:
        typer.echo(output.as_json(answer))
    output.show_problems(answer)
    output.refuse(answer, "the mesh did not say its runners")
    if form is Form.TABLE:
        typer.echo(_table(answer.runners))


async def _request(
    to: World,
    of: settings.Settings,
    verb: str,
    request: RunnerRequest,
    expected: type[AnswerT],
) -> AnswerT:
    async with to.connect(of) as api:
        return await api.ask(api.subjects.api_runner(verb), request, expected)


def _check_place(path: Path) -> None:
    """Before anything is done. Raises `Usage`."""
    if path.exists():
        raise Usage(f"{path} exists: remove it, or name another file with -o")
    if not path.parent.is_dir():
        raise Usage(f"there is no folder {path.parent}: name a file in another one with -o")


def _table(runners: list[RunnerRecord]) -> str:
    rows = [(one.name, one.namespace, one.account, _day(one.created)) for one in runners]
    return output.table(("RUNNER", "NAMESPACE", "ACCOUNT", "CREATED"), rows)


def _day(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M} UTC"
