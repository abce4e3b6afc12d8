"""What a proxy is told: all that is desired, and a ticket that the authority takes."""

from dataclasses import replace

from tests.support.identities import TICKET_KEY
from tests.support.workloads import port, start_request
from tulle.actors.authority.tickets import Ticket, verify_ticket
from tulle.actors.control import ControlSpec
from tulle.actors.proxy.spec import PortSpec
from tulle.actors.supervisor.members import DEFAULTS
from tulle.actors.supervisor.specs import ProxySpecs
from tulle.bus.messages import DesiredWorkload

INGRESS = DEFAULTS[0]
NOW = 1_700_000_000.0
SPECS = ProxySpecs(
    ControlSpec(
        role="supervisor",
        id="1",
        mesh="test",
        nats_url="nats://127.0.0.1:4222",
        nats_credentials="/home/creds/supervisor.json",
        home="/home",
        leaf_ttl_seconds=60.0,
        log_folder="/home/logs",
        json_logs=True,
        telemetry=False,
        access_log="text",
    ),
    TICKET_KEY,
)


def test_a_sidecar_is_told_what_its_workload_asked_for() -> None:
    request = start_request(ports=[port(name="web")], labels={"tier": "web"})
    desired = DesiredWorkload(
        id="reviews-v1-abcde", namespace="shop", account="reviewer", request=request
    )
    spec = SPECS.sidecar(desired, "node-1", NOW)
    assert (spec.id, spec.role, spec.node) == ("reviews-v1-abcde", "sidecar", "node-1")
    assert spec.spiffe_id == "spiffe://cluster.local/ns/shop/sa/reviewer"
    assert spec.ports == (PortSpec(service=9080, app=8000, name="web", protocol="http"),)
    assert spec.labels == (("app", "reviews"), ("tier", "web"), ("version", "v1"))
    assert (spec.holder, spec.credential_sha256) == (request.holder, request.credential_sha256)
    assert (spec.folder, spec.leaf_ttl_seconds) == ("/home/proxies/reviews-v1-abcde", 60.0)
    ticket = verify_ticket(TICKET_KEY, spec.ticket, NOW)
    assert ticket == Ticket("reviews-v1-abcde", "shop", "reviewer", NOW, nonce=ticket.nonce)
    assert len(ticket.nonce) == 16
    assert spec.ticket not in repr(spec)


def test_a_gateway_is_told_its_pool_and_asks_the_watcher_for_sockets() -> None:
    spec = SPECS.gateway(INGRESS, "ingress-abcde", NOW)
    assert (spec.role, spec.pool, spec.service, spec.node) == ("gateway", "ingress", "ingress", "")
    assert spec.holder == "/home/holder.sock"
    assert dict(spec.labels) == {"istio": "ingressgateway", "app": "istio-ingressgateway"}
    ticket = verify_ticket(TICKET_KEY, spec.ticket, NOW)
    assert replace(ticket, nonce="") == Ticket(
        "ingress-abcde", "istio-system", "istio-ingressgateway", NOW, pool="ingress"
    )


def test_a_proxy_has_a_nats_user_of_its_own() -> None:
    assert SPECS.gateway(INGRESS, "a", NOW).nats_credentials == "/home/proxies/a/nats.json"


def test_proxies_log_where_control_actors_do_under_their_own_name() -> None:
    spec = SPECS.gateway(INGRESS, "ingress-abcde", NOW)
    assert (spec.log_folder, spec.json_logs) == ("/home/logs", True)
    assert spec.name == "tulle-proxy-ingress-abcde"


def test_all_proxies_are_told_whether_to_count_and_to_log_requests() -> None:
    request = start_request(ports=[port()])
    desired = DesiredWorkload(id="a", namespace="b", account="c", request=request)
    for spec in (SPECS.gateway(INGRESS, "d", NOW), SPECS.sidecar(desired, "node", NOW)):
        assert (spec.telemetry, spec.access_log) == (False, "text")


def test_an_evaluator_is_told_what_the_ray_host_would_tell_it() -> None:
    spec = SPECS.of_role("evaluator", "3")
    expected = replace(
        SPECS.control,
        role="evaluator",
        id="3",
        nats_credentials="/home/creds/evaluator.json",
        nats_keys="",
    )
    assert spec == expected
    assert spec.name == "tulle-evaluator-3"
