"""Istio's request metrics in Envoy, labelled per request, as its access logger for statistics can.

Istio has a filter of its own for these, which a plain Envoy lacks; without them Envoy counts per
listener and cluster alone, with no label of a request. Source: envoy.access_loggers.stats.
"""

from tulle.load.envoy import TYPES, Value

_HISTOGRAMS = {
    "istio_request_duration_milliseconds": ("%DURATION%", "Milliseconds"),
    "istio_request_bytes": ("%BYTES_RECEIVED%", "Bytes"),
    "istio_response_bytes": ("%BYTES_SENT%", "Bytes"),
}


def request_metrics(reporter: str, principal: str) -> Value:
    """An access logger; `principal` is the command operator of the other side's identity."""
    labels = {
        "reporter": reporter,
        "peer_principal": principal,
        "destination_service": "%REQ(:AUTHORITY)%",
        "request_protocol": "%PROTOCOL%",
        "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%",
    }
    tags = [{"name": name, "value_format": text} for name, text in labels.items()]
    config: Value = {
        "@type": f"{TYPES}.extensions.access_loggers.stats.v3.Config",
        "stat_prefix": "mesh",
        "counters": [{"stat": {"name": "istio_requests_total", "tags": tags}, "value_fixed": 1}],
        "histograms": [
            {"stat": {"name": name, "tags": tags}, "value_format": text, "unit": unit}
            for name, (text, unit) in _HISTOGRAMS.items()
        ],
    }
    return {"name": "envoy.access_loggers.stats", "typed_config": config}
