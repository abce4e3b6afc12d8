"""Step 6: only productpage may call details; whoever else asks is told why not."""

import sys

import orjson

from tulle.deploy.demo.probes import Asked
from tulle.deploy.demo.stage import Stage

VISITOR = "visitor"
POLICY = "details-viewer"
URL = "http://details:9080/details/0"
PAGES = 40
LET_IN = Asked(200, "")
DENIED = Asked(403, "rbac_denied")
_PROGRAM = """\
import json, sys, httpx2
answer = httpx2.get(sys.argv[1], timeout=10)
reason = answer.headers.get("x-tulle-reason", "")
print(json.dumps({"status": answer.status_code, "reason": reason, "body": answer.text}))
"""


async def run(stage: Stage) -> None:
    """All checks of step 6."""
    began = stage.traffic.now()
    await _visit(stage, "before, another identity", LET_IN)
    await stage.store.apply_policy(f"{POLICY}.yaml")
    await _visit(stage, "only productpage may: another identity", DENIED)
    with stage.check("only productpage may: productpage", "pages stay whole") as outcome:
        pages = await stage.pages(PAGES)
        failed = [page for page in pages if page.failed]
        outcome.saw(f"{len(pages) - len(failed)} whole, {len(failed)} not", not failed)
    await stage.store.delete_policy("authorizationpolicy", POLICY)
    await _visit(stage, "tulle delete: another identity", LET_IN)
    await stage.none_failed(began)


async def _visit(stage: Stage, name: str, expected: Asked) -> None:
    """A program of another service account asks details, through its own sidecar."""
    with stage.check(name, str(expected)) as outcome:
        said = await stage.store.tulle("run", VISITOR, "--", sys.executable, "-c", _PROGRAM, URL)
        answer = orjson.loads(said.splitlines()[-1])
        asked = Asked(answer["status"], answer["reason"])
        why = f": {answer['body'].strip()}" if asked == DENIED else ""
        says_why = asked != DENIED or POLICY in why
        outcome.saw(f"{asked}{why}", asked == expected and says_why)
