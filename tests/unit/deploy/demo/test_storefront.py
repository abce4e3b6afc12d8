import json

from tulle.deploy.demo.apps.serving import Instance
from tulle.deploy.demo.apps.storefront import Answer, as_html, page
from tulle.deploy.demo.exchange import Answer as HttpAnswer
from tulle.deploy.demo.pages import page_of

OWN = Instance("productpage", "v1", "productpage-v1-abcde").named()
DETAILS = Instance("details", "v1", "details-v1-abcde").named(book={"title": "A <play>"})
RATINGS = Instance("ratings", "v1", "ratings-v1-abcde").named(stars={"Ann": 3})
TEXTS = {"Ann": "Good.", "Bob": "Bad & long."}


def reviews(version: str, **more: object) -> Answer:
    return Instance("reviews", version, f"reviews-{version}-abcde").named(reviews=TEXTS, **more)


def seen_by_the_driver(content: Answer) -> str:
    answer = HttpAnswer(200, {}, json.dumps(content).encode())
    return page_of(answer, 0.0, 0.0, retried=False).error


def test_a_whole_page_is_whole_for_the_driver() -> None:
    answers = {"details": DETAILS, "reviews": reviews("v2", ratings=RATINGS, colour="black")}
    content = page(OWN, answers)
    assert seen_by_the_driver(content) == ""
    assert content["reviews"] == [
        {"reviewer": "Ann", "text": "Good.", "stars": 3, "colour": "black"},
        {"reviewer": "Bob", "text": "Bad & long."},
    ]


def test_parts_that_failed_are_named_with_the_reason() -> None:
    answers: dict[str, Answer | str] = {
        "details": "503 no_endpoints",
        "reviews": reviews("v3", missing={"ratings": "504"}),
    }
    content = page(OWN, answers)
    assert content["missing"] == {"details": "503 no_endpoints", "ratings": "504"}
    error = seen_by_the_driver(content)
    assert error == "details missing (503 no_endpoints); ratings missing (504)"


def test_html_shows_the_book_and_escapes_what_it_shows() -> None:
    answers = {"details": DETAILS, "reviews": reviews("v2", ratings=RATINGS, colour="black")}
    html = as_html(page(OWN, answers))
    assert "<h1>A &lt;play&gt;</h1>" in html
    assert html.count("&#9733;") == 3
    assert "reviews-v2-abcde" in html


def test_html_does_without_parts_too() -> None:
    html = as_html(page(OWN, {"details": "504", "reviews": "504"}))
    assert "missing: 504" in html
    assert "None at the moment." in html
