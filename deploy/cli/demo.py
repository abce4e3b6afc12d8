"""`tulle demo`: a bookstore on a mesh of its own. What it does is in deploy.demo."""

from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Adds the command of this file."""
    app.command(epilog="Example: tulle demo --step 2 --hold")(demo)


def demo(
    hold: Annotated[
        bool, typer.Option("--hold", help="Leave it up afterwards, and say what to try.")
    ] = False,
    step: Annotated[
        list[int], typer.Option("--step", metavar="N", help="Only this step; may be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run six applications on a mesh, and check it.

    It sends traffic all the time, changes policies and the number of gateways, and leaves nothing.
    """
    from tulle.deploy.demo.main import run

    raise typer.Exit(run(hold=hold, steps=step, json=json))
