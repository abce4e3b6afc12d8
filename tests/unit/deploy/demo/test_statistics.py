import pytest

from tulle.deploy.demo.statistics import shown, within


@pytest.mark.parametrize(
    ("counts", "well"),
    [
        ({"v1": 360, "v2": 40}, True),
        ({"v1": 337, "v2": 63}, True),  # 4 sigma of 400 at 10 % are 24 pages
        ({"v1": 335, "v2": 65}, False),
        ({"v1": 400}, False),
        ({"v1": 360, "v2": 39, "v3": 1}, False),
    ],
)
def test_a_split_is_judged_by_what_chance_allows(counts: dict[str, int], well: bool) -> None:
    assert within(counts, {"v1": 0.9, "v2": 0.1}) is well


def test_all_means_all() -> None:
    assert within({"v3": 60}, {"v3": 1.0})
    assert not within({"v3": 59, "v1": 1}, {"v3": 1.0})
    assert not within({"v1": 60}, {"v3": 1.0})


def test_counts_are_shown_in_order() -> None:
    assert shown({"v2": 39, "v1": 361}) == "v1 361, v2 39"
    assert shown({}) == "none"
