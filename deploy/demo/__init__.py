"""The demo: a bookstore of six processes on a mesh of its own, and the checks that it holds."""
