import json

from tests.support.bookstore import page_content
from tulle.deploy.demo.exchange import Answer
from tulle.deploy.demo.pages import Page, count_versions, page_of


def answered(status: int, content: object, **headers: str) -> Page:
    answer = Answer(status, headers, json.dumps(content).encode())
    return page_of(answer, 1.0, 2.0, retried=False)


def test_a_page_names_each_part_with_version_and_workload() -> None:
    page = answered(200, page_content("v3"))
    assert not page.failed
    assert page.parts["reviews"] == ("v3", "reviews-v3-abcde")
    assert page.version("ratings") == "v1"


def test_reviews_v1_does_without_ratings_and_v2_does_not() -> None:
    assert not answered(200, page_content("v1")).failed
    content = page_content("v2")
    del content["parts"]["ratings"]
    content["missing"] = {"ratings": "503 no_endpoints"}
    assert answered(200, content).error == "ratings missing (503 no_endpoints)"


def test_a_200_without_its_reviews_has_failed() -> None:
    content = page_content("v1")
    del content["parts"]["reviews"]
    assert answered(200, content).error == "reviews missing (no reason given)"


def test_another_status_has_failed_and_says_the_meshs_reason() -> None:
    page = answered(503, "", **{"x-tulle-reason": "no_endpoints"})
    assert (page.status, page.error) == (503, "status 503 no_endpoints")


def test_what_is_no_page_has_failed() -> None:
    contents: tuple[object, ...] = (
        [],
        "hello",
        {"parts": {"details": {}}, "missing": {}},
        {"parts": []},
    )
    for content in contents:
        assert answered(200, content).error == "not a page of the bookstore"


def test_versions_are_counted_where_there_is_one() -> None:
    pages = [answered(200, page_content(version)) for version in ("v1", "v1", "v2")]
    pages.append(Page(1.0, 2.0, error="ConnectionRefusedError"))
    assert count_versions(pages, "reviews") == {"v1": 2, "v2": 1}
