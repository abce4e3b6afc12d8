"""The contestants' configurations: the same routes to the same backend, whoever forwards."""

from pathlib import Path

import pytest
import yaml

from tulle.load import envoy, envoy_pair, haproxy, nginx, ours
from tulle.load.scenarios import BACKEND_HOST, BODY, HOST, PREFIXES

FOLDER = Path("/tmp/bench")
PORT, BACKEND, COLLECTOR = 18080, 18081, 18082


def test_the_body_is_as_small_as_the_figures_say() -> None:
    assert len(BODY.encode()) == 67


def test_ours_is_what_a_user_would_apply() -> None:
    gateway, routes, entry = yaml.safe_load_all(ours.policies(BACKEND))
    assert gateway["spec"]["servers"][0]["hosts"] == routes["spec"]["hosts"] == [HOST]
    assert [rule["match"][0]["uri"]["prefix"] for rule in routes["spec"]["http"]] == list(PREFIXES)
    destinations = {str(rule["route"][0]["destination"]) for rule in routes["spec"]["http"]}
    assert destinations == {str({"host": BACKEND_HOST, "port": {"number": BACKEND}})}
    assert entry["spec"]["hosts"] == [BACKEND_HOST]
    assert entry["spec"]["ports"][0]["number"] == BACKEND
    assert entry["spec"]["endpoints"] == [{"address": "127.0.0.1"}]


def test_envoy_routes_alike_with_statistics_request_id_and_an_idle_tracer() -> None:
    bootstrap = yaml.safe_load(envoy.config(PORT, BACKEND, COLLECTOR))
    (listener,) = bootstrap["static_resources"]["listeners"]
    connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = connections["route_config"]["virtual_hosts"]
    assert host["domains"] == [HOST]
    assert [route["match"]["prefix"] for route in host["routes"]] == list(PREFIXES)
    assert connections["generate_request_id"] is True
    assert connections["tracing"]["random_sampling"] == {"value": 0}
    assert "access_log" not in connections
    assert "stats_config" not in bootstrap  # its default: all statistics


def test_nginx_forwards_and_answers_on_loopback_alone() -> None:
    proxy = nginx.proxy(PORT, BACKEND, FOLDER)
    assert f"listen 127.0.0.1:{PORT};" in proxy
    assert f"server 127.0.0.1:{BACKEND};" in proxy
    assert all(f"location {prefix} {{ proxy_pass" in proxy for prefix in PREFIXES)
    assert f"listen 127.0.0.1:{BACKEND};" in nginx.backend(BACKEND, FOLDER)


@pytest.mark.parametrize("text", [nginx.proxy(PORT, BACKEND, FOLDER), nginx.backend(1, FOLDER)])
def test_nginx_writes_only_into_its_folder(text: str) -> None:
    paths = [word for word in text.split() if word.startswith("/") and len(word) > len("/api/")]
    assert paths and all(path.startswith(f"{FOLDER}/") for path in paths)


def test_haproxy_forwards_alike() -> None:
    text = haproxy.config(PORT, BACKEND)
    assert f"bind 127.0.0.1:{PORT}" in text
    assert f"server backend 127.0.0.1:{BACKEND}" in text
    assert HOST in text


def test_two_envoys_check_each_other_and_what_is_asked() -> None:
    roots = FOLDER / "roots.pem"
    party = envoy_pair.Party("spiffe://x/ns/a/sa/b", FOLDER / "b.pem", FOLDER / "b.key")
    gateway = yaml.safe_load(
        envoy_pair.gateway(PORT, BACKEND, COLLECTOR, party, "spiffe://s", roots)
    )
    cluster, _ = gateway["static_resources"]["clusters"]
    tls = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    (name,) = tls["validation_context"]["match_typed_subject_alt_names"]
    assert name == {"san_type": "URI", "matcher": {"exact": "spiffe://s"}}
    sidecar = yaml.safe_load(
        envoy_pair.sidecar(PORT, BACKEND, COLLECTOR, party, "spiffe://c", roots)
    )
    (listener,) = sidecar["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    assert chain["transport_socket"]["typed_config"]["require_client_certificate"] is True
    rbac, router = chain["filters"][0]["typed_config"]["http_filters"]
    policy = rbac["typed_config"]["rules"]["policies"]["bench"]
    assert policy["principals"] == [{"authenticated": {"principal_name": {"exact": "spiffe://c"}}}]
    assert router["name"] == "envoy.filters.http.router"
