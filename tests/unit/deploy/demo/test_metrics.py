from tulle.deploy.demo import metrics

TEXT = """\
# HELP istio_requests_total Requests.
# TYPE istio_requests_total counter
istio_requests_total{reporter="source",source_canonical_service="productpage",destination_service_name="reviews",destination_version="v1"} 3
istio_requests_total{reporter="source",source_canonical_service="productpage",destination_service_name="reviews",destination_version="v2"} 4
istio_requests_total{reporter="source",source_canonical_service="ingress",destination_service_name="productpage",destination_version="v1"} 7
istio_requests_total{reporter="destination",source_canonical_service="ingress",source_principal="spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway",destination_service_name="productpage",destination_version="v1"} 7
# HELP tulle_requests_total Requests of each proxy.
# TYPE tulle_requests_total counter
tulle_requests_total{proxy="ingress-1"} 5
tulle_requests_total{proxy="reviews-v1-abcde"} 3
"""  # noqa: E501
SAMPLES = metrics.parse(TEXT)


def test_edges_are_what_clients_count() -> None:
    assert metrics.edges(SAMPLES) == {"productpage -> reviews": 7, "ingress -> productpage": 7}


def test_requests_of_a_service_by_version() -> None:
    assert metrics.versions(SAMPLES, "reviews") == {"v1": 3, "v2": 4}


def test_arrivals_are_what_servers_saw_by_the_proven_identity() -> None:
    ingress = "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"
    assert metrics.arrivals(SAMPLES) == {f"{ingress} -> productpage": 7}


def test_each_gateway_is_there_also_when_it_served_nothing() -> None:
    counts = metrics.per_proxy(SAMPLES, ["ingress-1", "ingress-2"])
    assert counts == {"ingress-1": 5, "ingress-2": 0}
