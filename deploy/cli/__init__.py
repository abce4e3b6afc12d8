"""The command line, `tulle`: thin commands that say what they want on NATS and show the answer.

No command imports Ray, and what is slow to import is imported by the command that needs it, so
that `--help` is quick. Exit status: 0 done, 1 refused or failed, 2 usage, 3 not applied by all in
time, 4 no mesh reached; `run` passes the app's on and has 125 for its own failures.
"""

import sys

import typer
from typer.core import TyperGroup

from tulle.deploy.cli import credential, demo, mesh, policy, run, runner, up, usage
from tulle.deploy.errors import Failure, Usage

NAME = "tulle"


class Commands(TyperGroup):
    """Shows a `Failure` of any command, and a command line that can't be meant, as a sentence, and
    exits with its status.

    typer keeps the class of `ctx` to itself, hence the ignored type.
    """

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Runs the command of `ctx`."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            typer.echo(f"tulle: {failure}", err=True)
            raise typer.Exit(failure.status) from None
        except usage.UsageError as error:
            said = usage.sentence(error)
            if said is None:
                raise
            typer.echo(f"tulle: {said}", err=True)
            raise typer.Exit(Usage.status) from None


def build() -> typer.Typer:
    """The application with all commands."""
    app = typer.Typer(
        name=NAME,
        cls=Commands,
        help="A service mesh for plain processes: Istio's policies, no Kubernetes, no root.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for module in (up, run, policy, credential, runner, mesh, demo):
        module.add_commands(app)
    return app


def main() -> None:
    """What the script `tulle` calls."""
    if sys.platform != "linux":
        sys.exit("tulle: it runs on Linux alone: use a Linux machine or container")
    build()(prog_name=NAME)
