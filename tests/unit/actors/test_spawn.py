"""Actors are plain classes: one file makes actors of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = ("policies", "bus", "actors", "deploy", "load")


def makes_actors(node: ast.AST) -> bool:
    """Whether it is `ray.remote`, or an import of `remote` from a module of Ray."""
    match node:
        case ast.Attribute(value=ast.Name(id="ray"), attr="remote"):
            return True
        case ast.ImportFrom(module=str(module), names=names):
            from_ray = module.partition(".")[0] == "ray"
            return from_ray and any(one.name in ("remote", "*") for one in names)
        case ast.Import(names=names):
            # Under another name, the first case would not see it.
            return any(one.name == "ray" and one.asname not in (None, "ray") for one in names)
    return False


def files_that_make_actors() -> Iterator[str]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if any(map(makes_actors, ast.walk(ast.parse(path.read_text())))):
                yield str(path.relative_to(ROOT))


def test_actors_are_made_in_one_place() -> None:
    assert list(files_that_make_actors()) == ["actors/spawn.py"]
