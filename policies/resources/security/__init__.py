"""The kinds of security.istio.io; the unit tests compare them with Istio's CRDs."""
