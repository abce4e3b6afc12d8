"""The node agent's file: there is one, it names this process, and it goes."""

from pathlib import Path

from tulle.deploy import node, processes
from tulle.deploy.node import NodeFile


def test_the_file_names_node_and_agent(tmp_path: Path) -> None:
    node.announce(tmp_path, "abc")
    found = NodeFile.model_validate_json((tmp_path / "abc.json").read_bytes())
    assert (found.node, found.agent) == ("abc", processes.this_process())
    assert (tmp_path / "abc.json").stat().st_mode & 0o777 == 0o600


def test_a_new_node_replaces_what_a_killed_one_left(tmp_path: Path) -> None:
    node.announce(tmp_path, "old")
    node.announce(tmp_path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["new.json"]


def test_a_withdrawn_node_is_not_there(tmp_path: Path) -> None:
    node.announce(tmp_path, "abc")
    node.withdraw(tmp_path)
    assert list(tmp_path.iterdir()) == []
