"""The data plane: sidecars and gateways."""
