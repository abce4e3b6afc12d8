"""Pages as the demo's productpage answers them."""

from typing import TypedDict


class Content(TypedDict):
    """The fields that deploy.demo.pages reads."""

    parts: dict[str, dict[str, str]]
    missing: dict[str, str]


def page_content(reviews: str) -> Content:
    """A whole page with that version of reviews."""
    versions = {"productpage": "v1", "details": "v1", "reviews": reviews}
    if reviews != "v1":
        versions["ratings"] = "v1"
    return {
        "parts": {
            name: {"version": version, "workload": f"{name}-{version}-abcde"}
            for name, version in versions.items()
        },
        "missing": {},
    }
