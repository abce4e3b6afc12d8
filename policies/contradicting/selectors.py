"""Selectors of workloads, which several kinds of security.istio.io have."""

from collections.abc import Iterator

from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.security.common import WorkloadSelector


def workload_selector(document: Document, selector: WorkloadSelector | None) -> Iterator[Problem]:
    """Labels that can't be meant."""
    path: Path = ("spec", "selector", "matchLabels")
    for name, value in (selector.match_labels if selector is not None else {}).items():
        if not name:
            yield document.problem("schema", path, "the name of a label must not be empty")
        if "*" in name or "*" in value:
            message = "labels are compared as they are; there is no wildcard *"
            yield document.problem("schema", (*path, name), message)
