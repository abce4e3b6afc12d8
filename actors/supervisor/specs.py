"""What proxies and control actors are told at their spawn: from what is desired, and settings."""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tulle.actors.authority.tickets import Ticket, make_ticket
from tulle.actors.control import ControlSpec, Role
from tulle.actors.proxy.spec import PortSpec, ProxySpec
from tulle.actors.supervisor.records import workload_labels
from tulle.bus.messages import DesiredWorkload, PoolRecord
from tulle.bus.permissions import ROOT_NAMESPACE

GATEWAY_NAMESPACE: Final = ROOT_NAMESPACE
GATEWAY_ACCOUNT: Final = "istio-ingressgateway"


@dataclass(frozen=True, slots=True)
class ProxySpecs:
    """Makes specs for the mesh of `control`, with tickets made with `ticket_key`."""

    control: ControlSpec
    ticket_key: bytes

    def sidecar(self, desired: DesiredWorkload, node: str, now: float) -> ProxySpec:
        """The sidecar of a workload, pinned to `node`; `now`: Unix time."""
        request, control = desired.request, self.control
        ports = tuple(PortSpec(p.service, p.app, p.name, p.protocol) for p in request.ports)
        return ProxySpec(
            id=desired.id,
            mesh=control.mesh,
            role="sidecar",
            namespace=desired.namespace,
            account=desired.account,
            service=request.service,
            nats_url=control.nats_url,
            nats_credentials=control.proxy_user(desired.id),
            holder=request.holder,
            folder=control.proxy_folder(desired.id),
            ticket=self._ticket(desired.id, desired.namespace, desired.account, now),
            version=request.version,
            node=node,
            labels=tuple(sorted(workload_labels(request).items())),
            trust_domain=control.trust_domain,
            ports=ports,
            credential_sha256=request.credential_sha256,
            leaf_ttl_seconds=control.leaf_ttl_seconds,
            log_folder=control.log_folder,
            json_logs=control.json_logs,
            telemetry=control.telemetry,
            access_log=control.access_log,
        )

    def gateway(self, pool: PoolRecord, member: str, now: float) -> ProxySpec:
        """A member of a gateway pool; `now`: Unix time."""
        control = self.control
        return ProxySpec(
            id=member,
            mesh=control.mesh,
            role="gateway",
            namespace=GATEWAY_NAMESPACE,
            account=GATEWAY_ACCOUNT,
            service=pool.name,
            nats_url=control.nats_url,
            nats_credentials=control.proxy_user(member),
            holder=control.holder,
            folder=control.proxy_folder(member),
            ticket=self._ticket(member, GATEWAY_NAMESPACE, GATEWAY_ACCOUNT, now, pool.name),
            labels=tuple(sorted(pool.labels.items())),
            trust_domain=control.trust_domain,
            pool=pool.name,
            leaf_ttl_seconds=control.leaf_ttl_seconds,
            log_folder=control.log_folder,
            json_logs=control.json_logs,
            telemetry=control.telemetry,
            access_log=control.access_log,
        )

    def of_role(self, role: Role, number: str) -> ControlSpec:
        """An evaluator or collector, told what the Ray host told this supervisor."""
        credentials = Path(self.control.nats_credentials).with_name(f"{role}.json")
        return replace(
            self.control, role=role, id=number, nats_credentials=str(credentials), nats_keys=""
        )

    def _ticket(self, proxy: str, namespace: str, account: str, now: float, pool: str = "") -> str:
        nonce = secrets.token_hex(8)
        ticket = Ticket(proxy, namespace, account, now, pool, nonce)
        return make_ticket(self.ticket_key, ticket)
