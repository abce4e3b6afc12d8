"""One frozen picture of the mesh: all that config is compiled from.

The evaluator builds it from the store and replaces it as a whole with every change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from tulle.policies.config import Labels
from tulle.policies.parse import Document, read_document
from tulle.policies.resources.kinds import Kind
from tulle.policies.yamlscalar import Json
from tulle.policies.yamltext import Tree


class PolicyKey(NamedTuple):
    """What names a policy; sorts by kind, namespace, name."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Policy:
    """A document and the revision that created it, which later changes keep."""

    document: Document
    created: int

    @property
    def key(self) -> PolicyKey:
        """The policy's name; unique in a world."""
        return PolicyKey(self.document.kind, self.document.namespace, self.document.name)

    @property
    def age(self) -> tuple[int, str, str]:
        """Sorts the older first: of two policies in conflict the older wins."""
        return (self.created, self.document.namespace, self.document.name)

    def stored(self) -> Mapping[str, Json]:
        """The policy as it was written, to be stored beside `created`."""
        return self.document.data

    @classmethod
    def from_stored(cls, data: Mapping[str, Json], created: int) -> "Policy":
        """The policy of what `stored` gave. ValueError: not readable by this version."""
        document, problems = read_document(Tree(dict(data)))
        if document is None:
            raise ValueError(f"stored policy can't be read: {'; '.join(map(str, problems))}")
        return cls(document, created)


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of a service; `protocol` in lower case: `http`, `tcp`."""

    number: int
    name: str = ""
    protocol: str = "http"


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """A service that the registry knows. It stays known when its last workload goes."""

    namespace: str
    name: str
    ports: tuple[Port, ...]
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Pool:
    """A pool of gateways; a Gateway selects it, from any namespace, by `labels`."""

    name: str
    labels: Labels


INGRESS = Pool("ingress", (("app", "istio-ingressgateway"), ("istio", "ingressgateway")))


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the whole mesh."""

    trust_domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    suffix: str = "svc.cluster.local"


@dataclass(frozen=True, slots=True)
class World:
    """Policies, services and pools, each sorted by name, so that equal worlds are equal values."""

    policies: tuple[Policy, ...] = ()
    services: tuple[Service, ...] = ()
    pools: tuple[Pool, ...] = (INGRESS,)
    settings: Settings = Settings()

    @classmethod
    def of(
        cls,
        policies: Iterable[Policy] = (),
        services: Iterable[Service] = (),
        pools: Iterable[Pool] = (INGRESS,),
        settings: Settings | None = None,
    ) -> "World":
        """A world of these in any order; of two of one name the last counts."""
        return cls(
            _sorted({policy.key: policy for policy in policies}),
            tuple(sorted({(s.namespace, s.name): s for s in services}.values())),
            tuple(sorted(pools)),
            settings or Settings(),
        )

    def policy(self, key: PolicyKey) -> Policy | None:
        """The policy of this name."""
        return next((policy for policy in self.policies if policy.key == key), None)

    def with_policies(self, policies: Iterable[Policy]) -> "World":
        """This world with `policies` added or replaced."""
        merged = {policy.key: policy for policy in (*self.policies, *policies)}
        return replace(self, policies=_sorted(merged))

    def without_policies(self, keys: Iterable[PolicyKey]) -> "World":
        """This world without the policies of these names."""
        gone = set(keys)
        return replace(self, policies=tuple(p for p in self.policies if p.key not in gone))

    def with_services(self, services: Iterable[Service]) -> "World":
        """This world with other services: what the registry knows now."""
        return World.of(self.policies, services, self.pools, self.settings)

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        keys = [policy.key for policy in self.policies]
        services = [(service.namespace, service.name) for service in self.services]
        return [
            sentence
            for wrong, sentence in (
                (keys != sorted(set(keys)), "policies are not sorted or not unique"),
                (services != sorted(set(services)), "services are not sorted or not unique"),
                (list(self.pools) != sorted(self.pools), "pools are not sorted"),
            )
            if wrong
        ]


def _sorted(policies: Mapping[PolicyKey, Policy]) -> tuple[Policy, ...]:
    return tuple(policies[key] for key in sorted(policies))
