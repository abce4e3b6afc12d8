"""`tulle apply`, `delete` and `get`: policies, as requests to the leading evaluator."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tulle.bus.messages import (
    Answer,
    ApplyRequest,
    DeleteRequest,
    GetRequest,
    PoliciesAnswer,
    PolicyFile,
    PolicyName,
    PolicyRecord,
)
from tulle.deploy import settings
from tulle.deploy.api import AGAIN, NOT_PUBLISHED, UNSURE, codes, new_id
from tulle.deploy.cli import output
from tulle.deploy.cli.kinds import kind_of
from tulle.deploy.cli.options import Form, Mesh, Namespace, Output, PolicyForm, World, world
from tulle.deploy.errors import Failure, NotInTime, Usage

_SUFFIXES = (".yaml", ".yml", ".json")
_ANSWER_SLACK_SECONDS = 10.0

Files = Annotated[
    list[str], typer.Option("--file", "-f", metavar="FILE|DIR|-", help="YAML or JSON; - is stdin.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Until every proxy has applied it; else exit status 3.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, max=600, metavar="SECONDS", help="Of --wait.")
]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(epilog="Example: tulle apply -f policies/ --wait")(apply)
    app.command(epilog="Example: tulle delete virtualservice reviews")(delete)
    app.command(epilog="Example: tulle get vs reviews -o yaml")(get)


def apply(
    context: typer.Context,
    file: Files,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, store nothing.")] = False,
    wait: Wait = False,
    timeout: Timeout = 30.0,
    mesh: Mesh = None,
    form: Output = Form.TABLE,
) -> None:
    """Store policies: all of them, or none."""
    request = ApplyRequest(
        id=new_id(),
        files=read_files(file),
        dry_run=dry_run,
        wait_seconds=timeout if wait and not dry_run else 0,
    )
    answer = asyncio.run(_change(world(context), settings.read(mesh), "apply", request))
    done = "would be applied" if dry_run else "applied by all proxies" if wait else "applied"
    _show_change(answer, form, done)
    _judge_wait(answer, request.wait_seconds)


def delete(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="[KIND", help="As in vs.")] = "",
    name: Annotated[str, typer.Argument(metavar="NAME]", help="Of the policy.")] = "",
    file: Files = [],  # noqa: B006 - typer copies it
    namespace: Namespace = None,
    wait: Wait = False,
    timeout: Timeout = 30.0,
    mesh: Mesh = None,
    form: Output = Form.TABLE,
) -> None:
    """Delete a policy by kind and name, or all that files name."""
    if bool(kind) != bool(name) or bool(kind) == bool(file):
        raise Usage("say which: `tulle delete KIND NAME` or `tulle delete -f FILE`")
    request = DeleteRequest(
        id=new_id(),
        files=read_files(file),
        names=[_policy_name(kind, namespace, name)] if kind else [],
        wait_seconds=timeout if wait else 0,
    )
    answer = asyncio.run(_change(world(context), settings.read(mesh), "delete", request))
    _show_change(answer, form, "deleted everywhere" if wait else "deleted")
    _judge_wait(answer, request.wait_seconds)


def get(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="As in vs, virtualservice; all: every kind.")],
    name: Annotated[str, typer.Argument(help="Of one policy.")] = "",
    namespace: Namespace = None,
    mesh: Mesh = None,
    form: Annotated[PolicyForm, typer.Option("--output", "-o")] = PolicyForm.TABLE,
) -> None:
    """Show policies as they are stored."""
    if kind == "all" and name:
        raise Usage("a name needs its kind: `tulle get vs reviews`")
    request = GetRequest(
        id=new_id(),
        kind="" if kind == "all" else kind_of(kind),
        namespace=namespace or ("default" if name else ""),
        name=name,
    )
    answer = asyncio.run(_get(world(context), settings.read(mesh), request))
    output.show_problems(answer)
    output.refuse(answer, "nothing was read")
    if name and not answer.policies:
        raise Failure(
            f"there is no {request.kind} {request.namespace}/{name}: "
            f"see `tulle get {kind}`, or name its namespace with -n"
        )
    typer.echo(_policies(answer.policies, form))


def read_files(paths: Sequence[str]) -> list[PolicyFile]:
    """The files of `-f`; a folder stands for the YAML and JSON files in it. Raises `Usage`."""
    return [policy for path in paths for policy in _read(path)]


def _policy_name(kind: str, namespace: str | None, name: str) -> PolicyName:
    return PolicyName(kind=kind_of(kind), namespace=namespace or "default", name=name)


def _read(path: str) -> list[PolicyFile]:
    if path == "-":
        return [PolicyFile(name="stdin", text=_text("stdin", sys.stdin.buffer.read()))]
    place = Path(path)
    try:
        if not place.is_dir():
            return [_file(place, path)]
        found = [_file(file) for file in sorted(place.iterdir()) if file.suffix in _SUFFIXES]
    except OSError as error:
        raise Usage(f"can't read {error.filename or path}: {error.strerror}") from None
    if not found:
        raise Usage(f"{path} has no file that ends with {', '.join(_SUFFIXES)}")
    return found


def _file(place: Path, name: str = "") -> PolicyFile:
    name = name or str(place)
    return PolicyFile(name=name, text=_text(name, place.read_bytes()))


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Usage(f"{name} is not UTF-8 text (byte {error.start})") from None


async def _change(
    to: World, of: settings.Settings, verb: str, request: ApplyRequest | DeleteRequest
) -> Answer:
    """The last answer, with what the earlier ones said."""
    async with to.connect(of) as api:
        seconds = request.wait_seconds + _ANSWER_SLACK_SECONDS
        last: Answer | None = None
        async for answer in api.follow(api.subjects.api_policy(verb), request, seconds):
            last = answer if last is None else _merged(last, answer)
        assert last is not None  # or `follow` raised
        return last


def _merged(before: Answer, now: Answer) -> Answer:
    return now.model_copy(
        update={
            "problems": now.problems or before.problems,
            "changes": now.changes or before.changes,
            "revision": now.revision or before.revision,
        }
    )


async def _get(to: World, of: settings.Settings, request: GetRequest) -> PoliciesAnswer:
    async with to.connect(of) as api:
        verb = "get" if request.name else "list"
        return await api.ask(api.subjects.api_policy(verb), request, PoliciesAnswer)


def _show_change(answer: Answer, form: Form, done: str) -> None:
    if form is Form.JSON:
        typer.echo(output.as_json(answer))
    output.show_problems(answer)
    if not answer.ok and not _stored(answer):
        raise Failure(_refusal(answer))
    if form is Form.TABLE:
        for change in answer.changes or ["nothing changes"]:
            typer.echo(change)
        said = done if _everywhere(answer) else "stored"
        typer.echo(f"{said}, revision {output.revision_text(answer.revision)}")


def _judge_wait(answer: Answer, seconds: float) -> None:
    if seconds and not _everywhere(answer):
        who = ", ".join(answer.pending) or "all proxies"
        raise NotInTime(
            f"stored, and not applied within {seconds:.0f} s by {who}; see `tulle status`"
        )


def _stored(answer: Answer) -> bool:
    # `_merged`: a mesh that stored it may have failed while it waited.
    return answer.revision is not None or bool(answer.pending)


def _everywhere(answer: Answer) -> bool:
    return answer.ok and not answer.pending and NOT_PUBLISHED not in codes(answer)


def _refusal(answer: Answer) -> str:
    if codes(answer) & UNSURE:
        return (
            "failed, and whether anything was changed is not known: see `tulle get all`, "
            "or say the same again: what is there already stays as it is"
        )
    if codes(answer) & AGAIN:
        return "nothing was changed, the mesh is busy or without a leader: say it again"
    if "no-such-policy" in codes(answer):
        return "refused, nothing was changed: see `tulle get all`, or name a namespace with -n"
    count = sum(problem.severity == "error" for problem in answer.problems)
    return f"refused, nothing was changed: {count} error{'' if count == 1 else 's'}"


def _policies(policies: Sequence[PolicyRecord], form: PolicyForm) -> str:
    documents = [policy.data for policy in policies]
    match form:
        case PolicyForm.JSON:
            return output.documents_as_json(documents)
        case PolicyForm.YAML:
            return output.as_yaml(documents) if documents else ""
        case PolicyForm.TABLE:
            rows = [(p.kind, p.namespace, p.name, p.created) for p in policies]
            return output.table(("KIND", "NAMESPACE", "NAME", "CREATED"), rows)
