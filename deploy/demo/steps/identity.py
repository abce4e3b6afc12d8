"""Step 1: everything answers over mTLS between sidecars, is current, and is counted."""

import asyncio
from collections.abc import Iterable, Mapping

from tulle.bus.messages import ServiceRecord, Workload
from tulle.deploy.demo import metrics, probes
from tulle.deploy.demo.bookstore import APPS, SERVICE_PORT
from tulle.deploy.demo.mesh import POOL
from tulle.deploy.demo.pages import WITH_RATINGS, count_versions
from tulle.deploy.demo.stage import Stage, why
from tulle.deploy.demo.statistics import shown

PAGES = 120
COUNTED_SECONDS = 10.0  # figures leave a proxy each second
CURRENT_SECONDS = 10.0
_POLL_SECONDS = 0.25
TRUST_DOMAIN = "cluster.local"
CLIENTS: Mapping[str, str] = {  # who asks, and the identity that its certificate has to prove
    POOL: f"spiffe://{TRUST_DOMAIN}/ns/istio-system/sa/istio-ingressgateway",
    "productpage": f"spiffe://{TRUST_DOMAIN}/ns/default/sa/productpage",
    "reviews": f"spiffe://{TRUST_DOMAIN}/ns/default/sa/reviews",
}
EDGES = (
    (POOL, "productpage"),
    ("productpage", "details"),
    ("productpage", "reviews"),
    ("reviews", "ratings"),
)


async def run(stage: Stage) -> None:
    """All checks of step 1. The traffic is stopped at its end, to be counted, and goes on."""
    began = stage.traffic.now()
    await _pages_are_whole(stage)
    services = (await stage.store.services()).services
    await _certificates(stage, services)
    await _plain_is_closed(stage, services)
    await _all_current(stage)
    await stage.none_failed(began)
    await stage.traffic.stop()
    try:
        await _proven(stage)
        await _counted(stage)
    finally:
        stage.traffic.start()


async def _pages_are_whole(stage: Stage) -> None:
    with stage.check("every part answers, each version of reviews", "v1, v2, v3") as outcome:
        pages = await stage.pages(PAGES)
        seen = count_versions(pages, "reviews")
        failed = [page for page in pages if page.failed]
        outcome.saw(f"reviews {shown(seen)}{why(failed)}", not failed and set(seen) == ALL)


ALL = {version for service, version in APPS if service == "reviews"}


async def _certificates(stage: Stage, services: list[ServiceRecord]) -> None:
    expected = "its SPIFFE id, and nobody without a certificate is answered"
    with stage.check("the certificate on the wire", expected) as outcome:
        wrong: list[str] = []
        for workload, port, spiffe_id in _inbound(services):
            shown_by = await asyncio.to_thread(probes.present_nothing, workload.address, port)
            if shown_by.uris != (spiffe_id,) or shown_by.answered or shown_by.tls != "TLSv1.3":
                wrong.append(f"{workload.id}: {shown_by}")
        count = len(_inbound(services))
        seen = "; ".join(wrong) or f"{count} sidecars, e.g. {_inbound(services)[0][2]}"
        outcome.saw(seen, not wrong and count == len(APPS))


async def _plain_is_closed(stage: Stage, services: list[ServiceRecord]) -> None:
    with stage.check("a plain connection to an inbound port", "closed without a byte") as outcome:
        answered = {
            workload.id: await asyncio.to_thread(probes.speak_plainly, workload.address, port)
            for workload, port, _ in _inbound(services)
        }
        spoken = {name: count for name, count in answered.items() if count}
        seen = f"bytes from {shown(spoken)}" if spoken else f"{len(answered)} closed, 0 bytes"
        outcome.saw(seen, not spoken and len(answered) == len(APPS))


async def _all_current(stage: Stage) -> None:
    with stage.check("tulle status", "every proxy at the current revision") as outcome:
        async with asyncio.timeout(CURRENT_SECONDS):
            while True:
                proxies = (await stage.store.status()).proxies
                behind = [proxy.id for proxy in proxies if not proxy.current]
                seen = f"{len(proxies)} proxies, behind: {', '.join(behind) or 'none'}"
                outcome.saw(seen, not behind and len(proxies) == len(APPS) + 1)
                if outcome.ok:
                    return
                await asyncio.sleep(_POLL_SECONDS)


async def _proven(stage: Stage) -> None:
    """Both ends of each edge count the same requests, the server under the proven identity."""
    expected = "every request from its client's SPIFFE id, as many as clients count"
    with stage.check("requests between sidecars", expected) as outcome:
        async with asyncio.timeout(COUNTED_SECONDS):
            while True:
                samples = await stage.store.metrics()
                wrong = unproven(samples)
                outcome.saw("; ".join(wrong) or _proof(samples), not wrong)
                if not wrong:
                    return
                await asyncio.sleep(_POLL_SECONDS)


def unproven(samples: Iterable[metrics.Sample]) -> list[str]:
    """What arrived otherwise than it was sent, as sentences: per identity and service."""
    samples = list(samples)
    sent = metrics.edges(samples)
    expected = {
        f"{CLIENTS[client]} -> {server}": sent.get(f"{client} -> {server}", 0)
        for client, server in EDGES
    }
    arrived = metrics.arrivals(samples)
    return [
        f"{edge}: {arrived.get(edge, 0)} arrived, {expected.get(edge, 0)} sent"
        for edge in sorted({*expected, *arrived})
        if not arrived.get(edge, 0) == expected.get(edge, 0) > 0
    ]


def _proof(samples: Iterable[metrics.Sample]) -> str:
    arrived = metrics.arrivals(samples)
    return f"{sum(arrived.values())} on {len(arrived)} edges, e.g. {min(arrived)}"


async def _counted(stage: Stage) -> None:
    """All that was sent since the demo's start, against what the clients' proxies counted."""
    sent = _edges_sent(stage)
    reviews = count_versions(stage.traffic.pages, "reviews")
    with stage.check("istio_requests_total, reporter=source", shown(sent)) as outcome:
        async with asyncio.timeout(COUNTED_SECONDS):
            while True:
                samples = await stage.store.metrics()
                counted = metrics.edges(samples)
                by_version = metrics.versions(samples, "reviews")
                same = counted == sent and by_version == reviews
                outcome.saw(f"{shown(counted)} (reviews {shown(by_version)})", same)
                if same:
                    return
                await asyncio.sleep(_POLL_SECONDS)


def _edges_sent(stage: Stage) -> dict[str, int]:
    pages = stage.traffic.sent
    rated = sum(page.version("reviews") in WITH_RATINGS for page in stage.traffic.pages)
    return {
        f"{POOL} -> productpage": pages,
        "productpage -> details": pages,
        "productpage -> reviews": pages,
        "reviews -> ratings": rated,
    }


def _inbound(services: list[ServiceRecord]) -> list[tuple[Workload, int, str]]:
    """Each ready workload, its sidecar's port, and the SPIFFE id that it must show."""
    return [
        (
            workload,
            workload.ports[SERVICE_PORT],
            f"spiffe://{TRUST_DOMAIN}/ns/{service.namespace}/sa/{workload.account}",
        )
        for service in services
        for workload in service.workloads
        if workload.state == "ready"
    ]
