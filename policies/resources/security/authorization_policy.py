"""AuthorizationPolicy: who may send which requests to workloads."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tulle.policies.resources.base import Maybe, Resource
from tulle.policies.resources.security.common import TargetRef, WorkloadSelector

Account = Annotated[str, Field(max_length=320)]


class Source(Resource):
    """Conditions on who sends; all that are given must hold."""

    apart: ClassVar[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
        (
            ("service_accounts", "not_service_accounts"),
            ("principals", "not_principals", "namespaces", "not_namespaces"),
        ),
    )

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: tuple[Account, ...] = Field(default=(), max_length=16)
    not_service_accounts: tuple[Account, ...] = Field(default=(), max_length=16)
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    not_trust_domains: tuple[str, ...] = ()


class From(Resource):
    """One of the senders of a rule."""

    source: Maybe[Source] = None


class Operation(Resource):
    """Conditions on the request; all that are given must hold."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


class To(Resource):
    """One of the operations of a rule."""

    operation: Maybe[Operation] = None


class When(Resource):
    """A condition on an attribute that Istio names."""

    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


class Rule(Resource):
    """Holds when one sender, one operation and all conditions do; what is absent always does."""

    from_: Maybe[Annotated[tuple[From, ...], Field(max_length=512)]] = Field(
        default=None, alias="from"
    )
    to: Maybe[tuple[To, ...]] = None
    when: tuple[When, ...] = ()


class Provider(Resource):
    """The extension that decides with action CUSTOM."""

    name: Maybe[str] = None


class AuthorizationPolicy(Resource):
    """The `spec` of an AuthorizationPolicy."""

    kind: ClassVar[Literal["AuthorizationPolicy"]] = "AuthorizationPolicy"
    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("selector", "target_ref", "target_refs"),)

    selector: Maybe[WorkloadSelector] = None
    target_ref: Maybe[TargetRef] = None
    target_refs: Maybe[Annotated[tuple[TargetRef, ...], Field(max_length=16)]] = None
    action: Maybe[Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"]] = None
    rules: tuple[Rule, ...] = Field(default=(), max_length=512)
    provider: Maybe[Provider] = None
