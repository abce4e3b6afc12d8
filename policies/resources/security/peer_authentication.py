"""PeerAuthentication: whether workloads take plain connections, mTLS, or both."""

from typing import ClassVar, Literal

from pydantic import Field

from tulle.policies.resources.base import Maybe, Resource
from tulle.policies.resources.security.common import WorkloadSelector


class MutualTls(Resource):
    """What is asked of peers; UNSET or absent: inherited."""

    mode: Maybe[Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]] = None


class PeerAuthentication(Resource):
    """The `spec` of a PeerAuthentication. Ports are names of the map, as text."""

    kind: ClassVar[Literal["PeerAuthentication"]] = "PeerAuthentication"

    selector: Maybe[WorkloadSelector] = None
    mtls: Maybe[MutualTls] = None
    port_level_mtls: Maybe[dict[str, MutualTls]] = Field(default=None, min_length=1)
