"""Step 5: PERMISSIVE lets a plain client in, never as somebody; STRICT shuts it out again."""

import asyncio

from tulle.deploy.demo import probes
from tulle.deploy.demo.bookstore import SERVICE_PORT
from tulle.deploy.demo.probes import Asked
from tulle.deploy.demo.stage import Stage

PAGES = 40
PATH = "/details/0"
CLOSED = Asked(0, "")
LET_IN = Asked(200, "")
DENIED = Asked(403, "rbac_denied")


async def run(stage: Stage) -> None:
    """All checks of step 5."""
    began = stage.traffic.now()
    await _asked(stage, "without a policy, plain to details", CLOSED)
    await stage.store.apply_policy("permissive.yaml")
    await _asked(stage, "PERMISSIVE: plain to details", LET_IN)
    await stage.store.apply_policy("details-viewer.yaml")
    await _asked(stage, "a rule for productpage's identity: plain to details", DENIED)
    with stage.check("the same rule, productpage over mTLS", "pages stay whole") as outcome:
        pages = await stage.pages(PAGES)
        failed = [page for page in pages if page.failed]
        outcome.saw(f"{len(pages) - len(failed)} whole, {len(failed)} not", not failed)
    await stage.store.delete_policy("authorizationpolicy", "details-viewer")
    await stage.store.apply_policy("strict.yaml")
    await _asked(stage, "STRICT again: plain to details", CLOSED)
    await stage.store.delete_policy("peerauthentication", "default")
    await stage.none_failed(began)


async def _asked(stage: Stage, name: str, expected: Asked) -> None:
    with stage.check(name, str(expected)) as outcome:
        address, port = await _inbound(stage, "details")
        answer = await asyncio.to_thread(probes.ask_plainly, address, port, PATH)
        outcome.saw(answer, answer == expected)


async def _inbound(stage: Stage, name: str) -> tuple[str, int]:
    """Where the sidecar of the service's only workload listens for peers."""
    (service,) = [it for it in (await stage.store.services()).services if it.name == name]
    (workload,) = service.workloads
    return workload.address, workload.ports[SERVICE_PORT]
