"""Labels, as every kind of config has them."""

Labels = tuple[tuple[str, str], ...]  # sorted by name
