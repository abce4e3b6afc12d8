"""Listening sockets outlive proxies: a holder owns them and hands them over a unix socket."""
