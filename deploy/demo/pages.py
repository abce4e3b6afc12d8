"""What became of one request for the page: a value, and whether it counts as failed.

Reads what deploy.demo.apps.storefront writes.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from tulle.deploy.demo.exchange import Answer

ALWAYS = ("productpage", "details", "reviews")
WITH_RATINGS = ("v2", "v3")


@dataclass(frozen=True, slots=True)
class Page:
    """One request: times in seconds of the generator's clock.

    `error` is why no answer came, or why the answer is not a whole page; empty when it is well.
    `parts` maps a service to its (version, workload). `retried`: the first connection was closed
    before a byte of the answer, as HTTP/1.1 allows a server that drains.
    """

    started: float
    ended: float
    status: int = 0
    error: str = ""
    parts: dict[str, tuple[str, str]] = field(default_factory=dict)
    retried: bool = False

    @property
    def failed(self) -> bool:
        """Whether it was not answered as the policies say."""
        return bool(self.error)

    def version(self, service: str) -> str:
        """The version that answered for `service`, empty when that part is missing."""
        return self.parts.get(service, ("", ""))[0]


def page_of(answer: Answer, started: float, ended: float, *, retried: bool) -> Page:
    """The page in an HTTP answer."""
    if answer.status != 200:
        reason = answer.headers.get("x-tulle-reason", "")
        error = f"status {answer.status} {reason}".rstrip()
        return Page(started, ended, answer.status, error, retried=retried)
    try:
        content = json.loads(answer.body)
        parts = {
            str(name): (str(part["version"]), str(part["workload"]))
            for name, part in content["parts"].items()
        }
        why = {str(name): str(text) for name, text in content["missing"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return Page(started, ended, 200, "not a page of the bookstore", retried=retried)
    return Page(started, ended, 200, _missing(parts, why), parts, retried)


def expected_parts(reviews_version: str) -> tuple[str, ...]:
    """The services that a whole page names."""
    return (*ALWAYS, "ratings") if reviews_version in WITH_RATINGS else ALWAYS


def _missing(parts: dict[str, tuple[str, str]], why: dict[str, str]) -> str:
    version = parts.get("reviews", ("", ""))[0]
    lacking = sorted({*expected_parts(version), *why} - set(parts))
    return "; ".join(f"{name} missing ({why.get(name, 'no reason given')})" for name in lacking)


def count_versions(pages: Iterable[Page], service: str) -> dict[str, int]:
    """How many pages each version of `service` answered; those without it are not counted."""
    counts: dict[str, int] = {}
    for page in pages:
        if version := page.version(service):
            counts[version] = counts.get(version, 0) + 1
    return counts
