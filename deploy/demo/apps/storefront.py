"""What productpage shows, as functions: the parts' answers -> one page -> its HTML.

A page: `{"parts": {service: {"version", "workload"}}, "missing": {service: why}, "book": {...},
"reviews": [{"reviewer", "text", "stars"?, "colour"?}]}`. Counterpart: deploy.demo.pages reads it.
"""

from collections.abc import Mapping
from html import escape
from typing import cast

Answer = dict[str, object]


def page(own: Answer, answers: Mapping[str, Answer | str]) -> Answer:
    """The page made of productpage's `own` answer and its parts'; a string says what failed."""
    missing = {name: answer for name, answer in answers.items() if isinstance(answer, str)}
    present = {name: answer for name, answer in answers.items() if not isinstance(answer, str)}
    reviews = present.get("reviews", {})
    ratings = cast(Answer, reviews.get("ratings", {}))
    missing.update(cast(dict[str, str], reviews.get("missing", {})))
    parts = {"productpage": own, **present} | ({"ratings": ratings} if ratings else {})
    return {
        "parts": {
            name: {"version": part.get("version"), "workload": part.get("workload")}
            for name, part in parts.items()
        },
        "missing": missing,
        "book": present.get("details", {}).get("book"),
        "reviews": _reviews(reviews, ratings),
    }


def _reviews(reviews: Answer, ratings: Answer) -> list[Answer]:
    texts = cast(dict[str, str], reviews.get("reviews", {}))
    stars = cast(dict[str, int], ratings.get("stars", {}))
    return [
        {"reviewer": who, "text": text}
        | ({"stars": stars[who], "colour": reviews.get("colour")} if who in stars else {})
        for who, text in texts.items()
    ]


def as_html(page: Answer) -> str:
    """The page for a browser: the book, its reviews, and which instance answered each part."""
    book = cast(Answer, page["book"] or {})
    facts = "".join(_row(str(name), value) for name, value in book.items())
    parts = cast(dict[str, dict[str, str]], page["parts"])
    rows = "".join(_row(name, " ".join(part.values())) for name, part in parts.items())
    missing = cast(dict[str, str], page["missing"])
    rows += "".join(_row(name, f"missing: {why}") for name, why in missing.items())
    reviews = "".join(map(_review, cast(list[Answer], page["reviews"])))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Bookstore</title>"
        f"<style>body{{font:16px sans-serif;max-width:44em;margin:2em auto}}td{{padding:.2em 1em "
        f".2em 0}}</style><h1>{escape(str(book.get('title', 'A book')))}</h1>"
        f"<table>{facts}</table><h2>Reviews</h2>{reviews or '<p>None at the moment.</p>'}"
        f"<h2>Who answered</h2><table>{rows}</table></html>"
    )


def _row(name: str, value: object) -> str:
    return f"<tr><td>{escape(name)}<td>{escape(str(value))}"


def _review(review: Answer) -> str:
    text, who = escape(str(review["text"])), escape(str(review["reviewer"]))
    if stars := "&#9733;" * cast(int, review.get("stars", 0)):
        who += f" <span style='color:{escape(str(review['colour']))}'>{stars}</span>"
    return f"<blockquote>{text}<br>{who}</blockquote>"
