"""`tulle status`, `services`, `workloads` and `scale`: what the mesh is, how large its pools."""

import asyncio
from typing import Annotated

import typer

from tulle.bus.messages import (
    Answer,
    MeshRequest,
    ProxyReport,
    ScaleRequest,
    ServiceRecord,
    ServicesAnswer,
    StatusAnswer,
    Workload,
)
from tulle.deploy import settings
from tulle.deploy.api import AnswerT, new_id
from tulle.deploy.cli import output
from tulle.deploy.cli.options import Form, Mesh, Output, World, world

_SCALE_SECONDS = 60.0
PROXIES = ("proxy", "proxies")
_MEMBERS = {
    "evaluators": ("evaluator", "evaluators"),
    "collectors": ("collector", "collectors"),
}
_CURRENT = {True: "yes", False: "no", None: "unknown"}


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(epilog="Example: tulle status")(status)
    app.command(epilog="Example: tulle services -o json")(services)
    app.command(epilog="Example: tulle workloads")(workloads)
    # Else -1 would be an option that nobody knows.
    numbers = {"ignore_unknown_options": True}
    app.command(epilog="Example: tulle scale ingress 3", context_settings=numbers)(scale)


def status(context: typer.Context, mesh: Mesh = None, form: Output = Form.TABLE) -> None:
    """Show each proxy, and whether it is current."""
    answer = _ask(world(context), settings.read(mesh), "status", StatusAnswer, form)
    if form is Form.TABLE:
        typer.echo(_status(answer))


def services(context: typer.Context, mesh: Mesh = None, form: Output = Form.TABLE) -> None:
    """Show the services that the mesh knows."""
    answer = _ask(world(context), settings.read(mesh), "services", ServicesAnswer, form)
    if form is Form.TABLE:
        typer.echo(_services(answer))


def workloads(context: typer.Context, mesh: Mesh = None, form: Output = Form.TABLE) -> None:
    """Show each running instance of each service."""
    answer = _ask(world(context), settings.read(mesh), "workloads", ServicesAnswer, form)
    if form is Form.TABLE:
        typer.echo(_workloads(answer))


def scale(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(help="ingress, evaluators or collectors.")],
    replicas: Annotated[int, typer.Argument(min=0, max=64, help="How many members it has.")],
    mesh: Mesh = None,
    form: Output = Form.TABLE,
) -> None:
    """Set how many members a pool has; wait for them."""
    request = ScaleRequest(id=new_id(), pool=pool, replicas=replicas)
    answer = asyncio.run(
        _request(world(context), settings.read(mesh), "scale", request, Answer, _SCALE_SECONDS)
    )
    if form is Form.JSON:
        typer.echo(output.as_json(answer))
    output.show_problems(answer)
    output.refuse(answer, f"pool {pool} is not at {replicas}; see `tulle status`")
    if form is Form.TABLE:
        typer.echo(f"pool {pool} has {counted(replicas, *_MEMBERS.get(pool, PROXIES))}")


def _ask(
    to: World, of: settings.Settings, verb: str, expected: type[AnswerT], form: Form
) -> AnswerT:
    answer = asyncio.run(_request(to, of, verb, MeshRequest(id=new_id()), expected))
    if form is Form.JSON:
        typer.echo(output.as_json(answer))
    output.show_problems(answer)
    output.refuse(answer, f"the mesh did not say its {verb}")
    return answer


async def _request(
    to: World,
    of: settings.Settings,
    verb: str,
    request: MeshRequest | ScaleRequest,
    expected: type[AnswerT],
    seconds: float = 10.0,
) -> AnswerT:
    async with to.connect(of) as api:
        return await api.ask(api.subjects.api_mesh(verb), request, expected, seconds)


def _status(answer: StatusAnswer) -> str:
    revision = output.revision_text(answer.revision)
    head = f"revision {revision}, leader {answer.leader or 'unknown'}"
    rows = [_proxy_row(proxy, revision) for proxy in answer.proxies]
    columns = ("PROXY", "ROLE", "SERVICE", "STATE", "REVISION", "CURRENT", "LISTENING")
    problems = [f"{p.id}: {problem}" for p in answer.proxies for problem in p.problems]
    behind = sum(proxy.current is not True for proxy in answer.proxies)
    standing = f"{behind} not current" if behind else "all current"
    total = f"{counted(len(answer.proxies))}, {standing}"
    return "\n".join([head, "", output.table(columns, rows), "", total, *problems])


def counted(number: int, one: str = PROXIES[0], many: str = PROXIES[1]) -> str:
    """`1 proxy`, `3 proxies`."""
    return f"{number} {one if number == 1 else many}"


def _proxy_row(proxy: ProxyReport, revision: str) -> tuple[object, ...]:
    return (
        proxy.id,
        proxy.role,
        f"{proxy.namespace}/{proxy.service}" if proxy.service else "",
        proxy.state,
        f"{proxy.revision or '-'}/{revision}",  # 0: it has heard no heartbeat yet
        _CURRENT[proxy.current],
        ", ".join(proxy.listening),
    )


def _services(answer: ServicesAnswer) -> str:
    rows = [
        (
            service.namespace,
            service.name,
            ", ".join(f"{port.number}/{port.protocol}" for port in service.ports),
            f"{_ready(service)}/{len(service.workloads)}",
            ", ".join(service.accounts),
        )
        for service in answer.services
    ]
    return output.table(("NAMESPACE", "SERVICE", "PORTS", "READY", "ACCOUNTS"), rows)


def _ready(service: ServiceRecord) -> int:
    return sum(workload.state == "ready" for workload in service.workloads)


def _workloads(answer: ServicesAnswer) -> str:
    rows = [
        _workload_row(service, workload)
        for service in answer.services
        for workload in service.workloads
    ]
    columns = ("WORKLOAD", "NAMESPACE", "SERVICE", "VERSION", "STATE", "ACCOUNT", "ADDRESSES")
    return output.table(columns, rows)


def _workload_row(service: ServiceRecord, workload: Workload) -> tuple[object, ...]:
    addresses = (f"{port}={workload.address}:{inbound}" for port, inbound in workload.ports.items())
    return (
        workload.id,
        service.namespace,
        service.name,
        workload.version,
        workload.state,
        workload.account,
        ", ".join(addresses),
    )
