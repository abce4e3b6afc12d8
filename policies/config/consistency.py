"""What must never be in a config with routes, said as sentences."""

from collections.abc import Sequence

from tulle.policies.config.clusters import Cluster
from tulle.policies.config.routes import Route


def route_inconsistencies(routes: Sequence[Route], clusters: Sequence[Cluster]) -> list[str]:
    """Clusters that are named and not there, or twice; routes that lead nowhere."""
    names = [cluster.name for cluster in clusters]
    known = set(names)
    missing = {t.cluster for route in routes for t in route.targets if t.cluster not in known}
    empty = [
        route.name
        for route in routes
        if not (route.redirect or route.direct) and sum(t.weight for t in route.targets) <= 0
    ]
    return (
        [f"cluster {name} appears twice" for name in repeated(names)]
        + [f"cluster {name} is routed to and not there" for name in sorted(missing)]
        + [f"route {name} has no weight" for name in empty]
    )


def repeated(names: Sequence[str]) -> list[str]:
    """The names that are there more than once, sorted."""
    return sorted({name for name in names if names.count(name) > 1})
