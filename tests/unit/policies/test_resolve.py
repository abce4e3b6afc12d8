"""Which policy applies."""

import pytest

from tests.support.policy_mesh import Mesh, service
from tulle.policies.resolve import Index

SERVICES = [service("a"), service("b"), service("a", namespace="shop")]
A = "a.default.svc.cluster.local"


def virtual_service(name: str, host: str, namespace: str = "default") -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: ["{host}"]
  http: [{{route: [{{destination: {{host: b.default}}}}]}}]
"""


def rule(name: str, host: str, namespace: str = "default", subset: str = "v1") -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  host: "{host}"
  subsets: [{{name: {subset}, labels: {{from: {name}}}}}]
"""


def entry(name: str, *hosts: str) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: {list(hosts)}
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 10.0.0.1}}]
"""


def index(*texts: str) -> Index:
    return Index(Mesh(*texts, services=SERVICES).world)


def first(texts: list[str], host: str) -> str:
    routes = index(*texts).mesh_routes(host)
    return routes[0].key.name if routes else ""


@pytest.mark.parametrize("host", ["a", "A", "a.default", "a.default.svc", A])
def test_all_names_of_a_service_are_one(host: str) -> None:
    assert index().qualify(host, "default") == A
    assert first([virtual_service("one", host)], A) == "one"


def test_a_name_of_two_parts_is_a_domain_unless_it_is_a_service() -> None:
    assert index().qualify("a.shop", "default") == "a.shop.svc.cluster.local"
    assert index().qualify("b.shop", "default") == "b.shop"
    assert index(entry("e", "a.shop")).qualify("a.shop", "default") == "a.shop"


def test_the_older_virtual_service_decides() -> None:
    one, two = virtual_service("one", "a"), virtual_service("two", A)
    assert first([one, two], A) == "one"
    assert first([two, one], A) == "two"


def test_of_one_age_the_name_decides() -> None:
    one, two = virtual_service("one", "a"), virtual_service("two", "a")
    assert first([f"{two}---\n{one}"], A) == "one"


def test_a_more_specific_host_decides_whatever_its_age() -> None:
    wide = virtual_service("wide", "*.svc.cluster.local")
    narrow = virtual_service("narrow", "*.default.svc.cluster.local")
    exact = virtual_service("exact", "a")
    assert first([wide, narrow, exact], A) == "exact"
    assert first([wide, narrow], A) == "narrow"
    assert first([wide], A) == "wide"
    assert first([narrow], "a.shop.svc.cluster.local") == ""


def test_what_is_bound_to_gateways_alone_is_not_for_the_mesh() -> None:
    text = virtual_service("one", "a").replace("spec:", "spec:\n  gateways: [web]")
    assert first([text], A) == ""
    assert first([text.replace("[web]", "[web, mesh]")], A) == "one"


def names(texts: list[str], host: str = A) -> list[str]:
    return [policy.key.name for policy in index(*texts).backend(host).rules]


def test_rules_of_one_namespace_for_one_host_are_merged_the_older_first() -> None:
    texts = [rule("one", "a"), rule("two", A, subset="v2")]
    assert names(texts) == ["one", "two"]
    backend = index(*texts).backend(A)
    assert backend.subset("v1") and backend.subset("v2") and not backend.subset("v3")


def test_of_one_subset_the_older_rule_decides() -> None:
    subset = index(rule("one", "a"), rule("two", "a")).backend(A).subset("v1")
    assert subset is not None and subset.labels == {"from": "one"}


def test_rules_of_the_hosts_own_namespace_come_before_older_ones_of_others() -> None:
    other = rule("other", A, namespace="shop")
    assert names([other, rule("own", "a")]) == ["own"]
    assert names([other]) == ["other"]


def test_an_exact_rule_hides_a_wildcard() -> None:
    assert names([rule("wide", "*.default.svc.cluster.local"), rule("exact", "a")]) == ["exact"]
    assert names([rule("wide", "*.default.svc.cluster.local")]) == ["wide"]


def test_a_service_hides_an_entry_of_its_name_and_an_older_entry_a_newer() -> None:
    taken = index(entry("one", A, "x.example"), entry("two", "x.example", "*.example"))
    service_backend, old, wide = (taken.backend(h) for h in (A, "x.example", "y.example"))
    assert service_backend.service is not None and service_backend.entry is None
    assert old.entry is not None and old.entry.key.name == "one"
    assert wide.entry is not None and wide.entry.key.name == "two"
    assert not taken.backend("other.org").known


def test_hosts_are_services_entries_and_what_virtual_services_name() -> None:
    found = index(entry("e", "x.example"), virtual_service("v", "y.example", "shop"))
    assert found.hosts == {
        A: "default",
        "a.shop.svc.cluster.local": "shop",
        "b.default.svc.cluster.local": "default",
        "x.example": "default",
        "y.example": "shop",
    }
