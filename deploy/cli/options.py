"""Options that several commands have, and what a test puts in place of the mesh."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from tulle.deploy.api import Connect, connect

Mesh = Annotated[
    str | None,
    typer.Option("--mesh", metavar="NAME", help="Which mesh. [env: TULLE_MESH, else default]"),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NS", help="The namespace.")
]


class Form(StrEnum):
    """How an answer is shown."""

    TABLE = "table"
    JSON = "json"


class PolicyForm(StrEnum):
    """How policies are shown."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


Output = Annotated[
    Form, typer.Option("--output", "-o", help="json: what the API answers, as it is.")
]


@dataclass(frozen=True, slots=True)
class World:
    """What commands reach; tests bring their own with `obj=`."""

    connect: Connect = connect


def world(context: typer.Context) -> World:
    """The world of this invocation."""
    return context.obj if isinstance(context.obj, World) else World()
