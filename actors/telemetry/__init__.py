"""Telemetry collectors: sums of what all proxies count, for Prometheus."""
