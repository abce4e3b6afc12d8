"""Keys are named for as long as a proxy may have missed them."""

from tulle.actors.recent import RecentChanges


def test_changes_are_named_for_fifteen_seconds() -> None:
    recent = RecentChanges()
    recent.add({"a": 1, "b": 2}, 0.0)
    recent.add({"a": 3}, 10.0)
    assert recent.newest(14.9) == {"b": 2, "a": 3}
    assert recent.newest(15.0) == {"a": 3}
    assert recent.newest(25.0) == {}
