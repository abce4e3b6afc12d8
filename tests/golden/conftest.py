"""`pytest tests/golden --refresh-golden` writes what comes out as expected; read the diff."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option exists only when pytest is called on this folder."""
    parser.addoption("--refresh-golden", action="store_true", help="write tests/golden/*/out.yaml")


@pytest.fixture
def refresh_golden(request: pytest.FixtureRequest) -> bool:
    """Whether expected output is to be written instead of compared."""
    return bool(request.config.getoption("--refresh-golden", default=False))
