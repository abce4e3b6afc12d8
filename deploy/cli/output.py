"""What commands print: tables, JSON and YAML on stdout, problems on stderr, colours only on a
terminal."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence

import typer
from pydantic import BaseModel

from tulle.bus.messages import Answer, ProblemRecord, Revision
from tulle.deploy.errors import Failure


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell, two spaces between; `-` for an empty cell."""
    cells = [list(header), *([str(cell) or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    if sys.stdout.isatty():
        lines[0] = typer.style(lines[0], bold=True)
    return "\n".join(lines)


def as_json(value: BaseModel) -> str:
    """A message as the API answers it."""
    return value.model_dump_json(indent=2)


def as_yaml(documents: Sequence[Mapping[str, object]]) -> str:
    """Documents in the order of their fields, `---` between."""
    import yaml

    return yaml.safe_dump_all(documents, sort_keys=False, default_flow_style=False).rstrip()


def documents_as_json(documents: Sequence[Mapping[str, object]]) -> str:
    """A list of documents, in the order of their fields."""
    return json.dumps(documents, indent=2)


def show_problems(answer: Answer) -> None:
    """Each of the answer's problems on stderr, as compilers say them."""
    for problem in answer.problems:
        color = typer.colors.RED if problem.severity == "error" else typer.colors.YELLOW
        # click takes the colour away again where stderr is no terminal.
        typer.secho(problem_line(problem), err=True, fg=color)


def refuse(answer: Answer, sentence: str) -> None:
    """Raises `Failure` with `sentence` when the answer is not ok."""
    if not answer.ok:
        raise Failure(sentence)


def problem_line(problem: ProblemRecord) -> str:
    """`reviews.yaml:7: error: spec.hosts: message [code]`."""
    where = ":".join(str(part) for part in (problem.file, problem.line) if part)
    message = f"{problem.message} [{problem.code}]"
    return ": ".join(part for part in (where, problem.severity, problem.path, message) if part)


def revision_text(revision: Revision | None) -> str:
    """`12`, or `unknown`."""
    return str(revision.number) if revision is not None else "unknown"
