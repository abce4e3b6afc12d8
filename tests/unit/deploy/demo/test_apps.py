"""The bookstore's applications know nothing of the mesh."""

import ast
from pathlib import Path

import pytest

from tulle.deploy.demo import apps

FILES = sorted(Path(apps.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_they_import_nothing_of_the_mesh(file: Path) -> None:
    imported = {
        name
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    ours = {name for name in imported if name.startswith("tulle")}
    assert {name for name in ours if not name.startswith("tulle.deploy.demo.apps.")} == set()


def test_all_of_them_are_found() -> None:
    names = {file.stem for file in FILES}
    assert {"productpage", "details", "reviews", "ratings"} <= names
