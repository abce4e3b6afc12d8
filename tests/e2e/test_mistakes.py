"""Each mistake of docs/mistakes.md gets the sentence and the exit status that stand there."""

import json
from collections.abc import Iterator

import pytest

from tests.support import mistakes
from tests.support.mesh import Mesh
from tests.support.mistakes import Row
from tulle.bus.messages import Answer

pytestmark = pytest.mark.timeout(240)

ROWS = mistakes.rows()


@pytest.fixture(scope="module")
def tried(mesh: Mesh) -> Iterator[dict[str, Row]]:
    """What commands say now, by section and mistake."""
    yield {_name(row): row for row in mistakes.tried(ROWS, mesh)}


def _name(row: Row) -> str:
    return f"{row.section}: {row.mistake}"


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_a_mistake_gets_its_sentence(tried: dict[str, Row], row: Row) -> None:
    now = tried[_name(row)]
    assert (now.said, now.status) == (row.said, row.status)
    assert not any("Traceback" in line or "Errno" in line for line in now.said)


def test_what_the_mesh_refuses_is_json_where_that_was_asked_for(tried: dict[str, Row]) -> None:
    asked = [row for row in tried.values() if row.command.endswith("-o json")]
    assert len(asked) >= 4
    for row in asked:
        answer = Answer.model_validate(json.loads(row.out))
        assert not answer.ok and answer.problems, row


def test_the_table_is_no_less_than_it_was() -> None:
    assert len(ROWS) >= 100
    assert len({_name(row) for row in ROWS}) == len(ROWS)
