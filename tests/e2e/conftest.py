"""One mesh for all tests of this folder; each test brings services and policies of its own."""

from collections.abc import Iterator

import pytest

from tests.support.mesh import Mesh


@pytest.fixture(scope="session")
def mesh() -> Iterator[Mesh]:
    with Mesh() as started:
        yield started
