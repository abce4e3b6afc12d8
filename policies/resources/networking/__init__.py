"""The kinds of networking.istio.io; the unit tests compare them with Istio's CRDs."""
