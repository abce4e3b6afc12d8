"""Benchmarks: what Tulle costs, measured side by side with its peers."""
