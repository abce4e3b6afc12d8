"""Policies as users write them, and config as proxies execute it: pure functions and values."""
