"""Codecs of the proxy, each testable on bytes alone: no sockets, no loop, no clock."""
