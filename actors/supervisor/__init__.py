"""The supervisor: sole writer of the registry and of what is desired; starts and ends proxies."""
