"""The policy API as a client uses it, and policies to apply."""

import secrets
from contextlib import aclosing

from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.messages import (
    Answer,
    ApplyRequest,
    DeleteRequest,
    GetRequest,
    MeshRequest,
    PoliciesAnswer,
    PolicyFile,
    PolicyName,
    ServicePort,
    ServiceRecord,
    StatusAnswer,
    Workload,
)
from tulle.bus.subjects import Subjects

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
"""


def virtual_service(name: str, *routes: str, gateway: bool = False, host: str = "") -> str:
    """A VirtualService of `host` (default: the name) with `routes` as destinations' YAML."""
    gateways = "  gateways: [bookinfo]\n" if gateway else ""
    destinations = "".join(f"    - {route}\n" for route in routes)
    return (
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        f"metadata: {{name: {name}}}\nspec:\n  hosts: ['{host or name}']\n{gateways}"
        f"  http:\n  - route:\n{destinations}"
    )


def service(name: str, *workloads: Workload, port: int = 9080) -> ServiceRecord:
    """A service of namespace `default` with one HTTP port."""
    return ServiceRecord(
        namespace="default",
        name=name,
        ports=[ServicePort(number=port, name="http")],
        accounts=[name],
        workloads=list(workloads),
    )


class PolicyClient:
    """Asks whichever evaluator leads."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects

    async def apply(
        self, text: str, *, wait: float = 0, dry_run: bool = False, request: str = ""
    ) -> Answer:
        """The last answer."""
        return (await self.apply_all(text, wait=wait, dry_run=dry_run, request=request))[-1]

    async def apply_all(
        self, text: str, *, wait: float = 0, dry_run: bool = False, request: str = ""
    ) -> list[Answer]:
        """All answers."""
        message = ApplyRequest(
            id=request or secrets.token_hex(8),
            files=[PolicyFile(name="test.yaml", text=text)],
            dry_run=dry_run,
            wait_seconds=wait,
        )
        return await self._ask(self._subjects.api_policy("apply"), message)

    async def delete(self, kind: str, name: str, *, wait: float = 0) -> Answer:
        """Deletes by name."""
        message = DeleteRequest(
            id=secrets.token_hex(8), names=[PolicyName(kind=kind, name=name)], wait_seconds=wait
        )
        return (await self._ask(self._subjects.api_policy("delete"), message))[-1]

    async def policies(self, kind: str = "") -> PoliciesAnswer:
        """All policies, or those of a kind."""
        message = codec.encode(GetRequest(id="list", kind=kind))
        answer = await self._connection.request(self._subjects.api_policy("list"), message)
        return codec.decode(PoliciesAnswer, answer.data)

    async def status(self) -> StatusAnswer:
        """The mesh's status."""
        message = codec.encode(MeshRequest(id="status"))
        answer = await self._connection.request(self._subjects.api_mesh("status"), message)
        return codec.decode(StatusAnswer, answer.data)

    async def _ask(self, subject: str, message: ApplyRequest | DeleteRequest) -> list[Answer]:
        answers = self._connection.request_many(
            subject,
            codec.encode(message),
            done=lambda answer: codec.decode(Answer, answer.data).done,
        )
        async with aclosing(answers):
            return [codec.decode(Answer, answer.data) async for answer in answers]
