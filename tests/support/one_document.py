"""One policy of a kind, by the YAML of its spec, and what it contradicts."""

from tests.support.policy_mesh import parsed
from tulle.policies.contradictions import contradictions
from tulle.policies.problems import Problem

HEAD = "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec:\n"


def problems_of(kind: str, spec: str) -> list[Problem]:
    """The contradictions of a document; its spec begins in line 5."""
    body = "\n".join(f"  {line}" for line in spec.strip().splitlines())
    [document] = parsed(HEAD.format(kind=kind) + body).documents
    return list(contradictions(document))


def sole(kind: str, spec: str, message: str) -> tuple[str, str, str]:
    """Severity, code and path of the only problem, which has its line and says `message`."""
    [problem] = problems_of(kind, spec)
    assert message in problem.message
    assert problem.line >= 4
    return problem.severity, problem.code, problem.path
