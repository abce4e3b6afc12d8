"""What the checks say of one http rule of a VirtualService."""

from tests.support.policy_mesh import parsed, virtual_service
from tulle.policies.contradictions import contradictions
from tulle.policies.problems import Problem
from tulle.policies.supported import unsupported

ROUTE = "route: [{destination: {host: a}}]"


def said(rule: str) -> list[tuple[str, str, str]]:
    """(code, path below the rule, message) of a rule; warnings have a ? behind their code."""
    problems = problems_of(rule)
    assert all(problem.line for problem in problems), "a problem without its line"
    return [
        (_code(p), p.path.removeprefix("spec.http[0]").lstrip("."), p.message) for p in problems
    ]


def problems_of(rule: str) -> list[Problem]:
    """All problems of a rule by itself."""
    [document] = parsed(virtual_service(f"- {{{rule}}}")).documents
    return [*unsupported(document), *contradictions(document)]


def only(rule: str) -> tuple[str, str, str]:
    """The one problem of a rule."""
    [problem] = said(rule)
    return problem


def _code(problem: Problem) -> str:
    return problem.code + ("?" if problem.severity == "warning" else "")
