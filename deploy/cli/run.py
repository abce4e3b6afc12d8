"""`tulle run`: an app with a sidecar. The life of both is in deploy.run."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tulle.deploy import settings
from tulle.deploy.cli.options import Mesh
from tulle.deploy.errors import Failure, Usage

OWN_FAILURE = 125


def add_commands(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command(
        epilog="Example: tulle run reviews --version v1 --port 9080 -- python reviews.py",
        context_settings={"ignore_unknown_options": False},
    )(run)


def run(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="The service's name.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The app.")],
    port: Annotated[
        list[str],
        typer.Option(
            "--port",
            metavar="[NAME:]APP[:SERVICE][/PROTOCOL]",
            help="The app listens on 127.0.0.1:APP (0: a free one, in PORT), peers use SERVICE. "
            "PROTOCOL: http (default) or tcp, reached by CONNECT to the own http_proxy. "
            "Without --port it is a client only.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    version: Annotated[str, typer.Option(metavar="V", help="As in v1: for subsets.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="NS")] = "default",
    service_account: Annotated[
        str, typer.Option(metavar="SA", help="Who it is to peers. [default: SERVICE]")
    ] = "",
    label: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="May be repeated.")] = [],  # noqa: B006
    health: Annotated[
        str, typer.Option(metavar="PATH", help="It is ready when this answers with 2xx.")
    ] = "",
    creds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of `tulle runner add`. [env: TULLE_CREDS, else one that may start all]",
        ),
    ] = None,
    mesh: Mesh = None,
) -> None:
    """Run an app in the mesh.

    Its sidecar starts, then the app; signals are passed to it and its exit status is passed on.
    """
    try:
        from tulle.deploy.run import run_app
        from tulle.deploy.run_options import RunOptions

        options = RunOptions.parse(
            service=service,
            command=command,
            ports=port,
            version=version,
            namespace=namespace,
            account=service_account,
            labels=label,
            health=health,
        )
        of = settings.read(mesh)
        status = run_app(replace(of, creds=creds) if creds is not None else of, options)
    except Usage:
        raise
    except Failure as failure:
        typer.echo(f"tulle run: {failure}", err=True)
        status = OWN_FAILURE
    raise typer.Exit(status)
