"""`tulle up` and `tulle down`: the mesh of this machine. What `up` does is in deploy.up."""

from pathlib import Path
from typing import Annotated

import typer

from tulle.deploy import settings
from tulle.deploy.cli.options import Mesh


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(epilog="Example: tulle up --detach")(up)
    app.command(epilog="Example: tulle down")(down)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when it is ready; `tulle down` ends it.")
    ] = False,
    mesh: Mesh = None,
    bind: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where ingress and HTTP port listen.")
    ] = "127.0.0.1",
    ingress_port: Annotated[
        int, typer.Option(min=0, max=65535, help="For port 80 of gateways; 0: a free one.")
    ] = 8080,
    ingress_tls_port: Annotated[
        int, typer.Option(min=0, max=65535, help="For port 443 of gateways; 0: a free one.")
    ] = 8443,
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, help="For /metrics and /healthz; 0: a free one.")
    ] = 15000,
    access_log: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="A line per request in logs/access-*.log: text, json."),
    ] = None,
    leaf_ttl: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Life of a proxy's certificate: 24h; at least 10s."),
    ] = None,
    nats: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A NATS that others run: tls://host:port. [env: TULLE_NATS]"
        ),
    ] = None,
    nats_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="PEM of whom to trust for it. [env: TULLE_NATS_CA, else the system's]",
        ),
    ] = None,
    print_nats_config: Annotated[
        bool,
        typer.Option(
            "--print-nats-config", help="Print what that NATS must be started with; start nothing."
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Ray cluster that others run, with a node here: host:port of its head; needs "
            "--nats. Its actors outlive this command, `tulle down` ends them. [env: TULLE_RAY]",
        ),
    ] = None,
    twin: Annotated[bool, typer.Option("--twin", hidden=True)] = False,  # of --detach
) -> None:
    """Start a mesh and keep it up until Ctrl-C."""
    of = settings.read(
        mesh, access_log=access_log, leaf_ttl=leaf_ttl, nats=nats, nats_ca=nats_ca, ray=ray
    )
    if print_nats_config:
        from tulle.deploy.home import Home
        from tulle.deploy.outside import config
        from tulle.deploy.outside import options as outside

        typer.echo(config.printed(Home(of.mesh_folder), of.mesh, outside.parse(of)))
        return
    from tulle.deploy import detached
    from tulle.deploy.up import UpOptions, keep_up

    options = UpOptions.parse(
        bind=bind,
        ingress_port=ingress_port,
        http_port=http_port,
        ingress_tls_port=ingress_tls_port,
    )
    if detach:
        detached.start(of, options)
    else:
        keep_up(of, options, in_foreground=not twin)


def down(mesh: Mesh = None) -> None:
    """End the mesh, and wait until nothing of it runs."""
    from tulle.deploy import detached

    typer.echo(detached.stop(settings.read(mesh)))
