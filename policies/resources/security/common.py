"""Values that all security kinds use: what a policy is attached to."""

from typing import Annotated

from pydantic import Field

from tulle.policies.resources.base import Maybe, Resource

LabelValue = Annotated[str, Field(max_length=63)]


class WorkloadSelector(Resource):
    """The workloads that carry all of `match_labels`; none: all of the policy's namespace."""

    match_labels: dict[str, LabelValue] = Field(default_factory=dict, max_length=4096)


class TargetRef(Resource):
    """A resource that the policy is attached to, in its own namespace."""

    group: Maybe[Annotated[str, Field(max_length=253)]] = None
    kind: Annotated[str, Field(min_length=1, max_length=63)]
    name: Annotated[str, Field(min_length=1, max_length=253)]
    namespace: Maybe[str] = None
