"""Commands against a mesh that answers as told: what they send, show and exit with."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.support.api import FakeMesh
from tulle.bus import codec
from tulle.bus.errors import NoAnswer
from tulle.bus.messages import (
    Answer,
    ApplyRequest,
    DeleteRequest,
    GetRequest,
    PoliciesAnswer,
    PolicyRecord,
    ProblemRecord,
    ProxyReport,
    Revision,
    ScaleRequest,
    ServicePort,
    ServiceRecord,
    ServicesAnswer,
    StatusAnswer,
    Workload,
)
from tulle.deploy import cli
from tulle.deploy.cli.options import World

DONE = Answer(
    id="1",
    ok=True,
    revision=Revision(epoch="e", number=7),
    changes=["created VirtualService default/reviews"],
)
WRONG = ProblemRecord(
    code="schema",
    severity="error",
    path="spec.hosts",
    file="reviews.yaml",
    line=7,
    message="is missing",
)
POLICY = PolicyRecord(
    kind="VirtualService",
    namespace="default",
    name="reviews",
    created=7,
    data={"kind": "VirtualService", "apiVersion": "networking.istio.io/v1"},
)


class Run:
    """One command's end."""

    def __init__(self, mesh: FakeMesh, *arguments: str, stdin: str | None = None) -> None:
        result = CliRunner().invoke(
            cli.build(), list(arguments), obj=World(mesh.connect), input=stdin, prog_name=cli.NAME
        )
        self.status = result.exit_code
        self.out, self.err = result.stdout, result.stderr


@pytest.fixture
def policy_file(tmp_path: Path) -> str:
    path = tmp_path / "reviews.yaml"
    path.write_text("kind: VirtualService\n")
    return str(path)


def test_apply_sends_files_and_shows_changes(policy_file: str) -> None:
    mesh = FakeMesh({"policy.apply": [DONE]})

    run = Run(mesh, "apply", "-f", policy_file)

    assert run.status == 0
    assert run.out.splitlines() == [
        "created VirtualService default/reviews",
        "applied, revision 7",
    ]
    subject, data = mesh.asked[0]
    request = codec.decode(ApplyRequest, data)
    assert subject == "tulle.default.api.policy.apply"
    assert [(file.name, file.text) for file in request.files] == [
        (policy_file, "kind: VirtualService\n")
    ]
    assert (request.dry_run, request.wait_seconds) == (False, 0)


def test_apply_reads_a_folder_in_order_and_stdin(tmp_path: Path) -> None:
    mesh = FakeMesh({"policy.apply": [DONE]})
    for name in ("b.yaml", "a.json", "c.yml", "readme.txt"):
        (tmp_path / name).write_text("{}")

    Run(mesh, "apply", "-f", str(tmp_path), "-f", "-", stdin="kind: Gateway\n")

    request = codec.decode(ApplyRequest, mesh.asked[0][1])
    names = [Path(file.name).name for file in request.files]
    assert names == ["a.json", "b.yaml", "c.yml", "stdin"]
    assert request.files[-1].text == "kind: Gateway\n"


def test_a_refused_apply_names_every_problem(policy_file: str) -> None:
    mesh = FakeMesh({"policy.apply": [Answer(id="1", ok=False, problems=[WRONG])]})

    run = Run(mesh, "apply", "-f", policy_file)

    assert run.status == 1
    assert run.err.splitlines() == [
        "reviews.yaml:7: error: spec.hosts: is missing [schema]",
        "tulle: refused, nothing was changed: 1 error",
    ]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("internal", "whether anything was changed is not known"),
        ("unknown-outcome", "whether anything was changed is not known"),
        ("unavailable", "nothing was changed, the mesh is busy or without a leader: say it again"),
        ("not-leading", "nothing was changed, the mesh is busy"),
        ("busy", "nothing was changed, the mesh is busy"),
    ],
)
def test_a_failure_of_the_mesh_is_no_refusal(policy_file: str, code: str, said: str) -> None:
    failed = WRONG.model_copy(update={"code": code})
    mesh = FakeMesh({"policy.apply": [Answer(id="1", ok=False, problems=[failed])]})

    run = Run(mesh, "apply", "-f", policy_file)

    assert run.status == 1
    assert said in run.err and "refused" not in run.err


def test_what_is_stored_and_not_published_yet_is_said(policy_file: str) -> None:
    late = WRONG.model_copy(update={"severity": "warning", "code": "not-published-yet"})
    mesh = FakeMesh({"policy.apply": [DONE.model_copy(update={"problems": [late]})]})

    assert Run(mesh, "apply", "-f", policy_file).out.splitlines()[-1] == "stored, revision 7"
    waited = Run(mesh, "apply", "-f", policy_file, "--wait")
    assert waited.status == 3 and "stored, and not applied within 30 s by all" in waited.err


def test_a_mesh_that_fails_while_it_waits_has_stored(policy_file: str) -> None:
    first = DONE.model_copy(update={"done": False, "pending": ["a"]})
    failed = WRONG.model_copy(update={"code": "internal"})
    mesh = FakeMesh({"policy.apply": [first, Answer(id="1", ok=False, problems=[failed])]})

    run = Run(mesh, "apply", "-f", policy_file, "--wait")

    assert run.status == 3 and run.out.splitlines()[-1] == "stored, revision 7"


def test_warnings_do_not_fail(policy_file: str) -> None:
    warning = WRONG.model_copy(update={"severity": "warning", "code": "missing-reference"})
    mesh = FakeMesh({"policy.apply": [DONE.model_copy(update={"problems": [warning]})]})

    run = Run(mesh, "apply", "-f", policy_file)

    assert run.status == 0
    assert "warning: spec.hosts" in run.err


def test_a_dry_run_says_so(policy_file: str) -> None:
    mesh = FakeMesh({"policy.apply": [DONE]})

    run = Run(mesh, "apply", "-f", policy_file, "--dry-run", "--wait")

    request = codec.decode(ApplyRequest, mesh.asked[0][1])
    assert (request.dry_run, request.wait_seconds) == (True, 0)
    assert run.out.splitlines()[-1] == "would be applied, revision 7"


def test_waiting_follows_the_answers_to_the_last(policy_file: str) -> None:
    first = DONE.model_copy(update={"done": False, "pending": ["a", "b"]})
    last = Answer(id="1", ok=True, revision=DONE.revision)
    mesh = FakeMesh({"policy.apply": [first, last]})

    run = Run(mesh, "apply", "-f", policy_file, "--wait", "--timeout", "3")

    assert run.status == 0
    assert codec.decode(ApplyRequest, mesh.asked[0][1]).wait_seconds == 3
    assert "created VirtualService default/reviews" in run.out
    assert run.out.splitlines()[-1] == "applied by all proxies, revision 7"


@pytest.mark.parametrize("ok", [True, False])
def test_not_applied_by_all_in_time_is_status_3(policy_file: str, ok: bool) -> None:
    late = DONE.model_copy(update={"pending": ["reviews-v1-abcde"], "ok": ok})
    mesh = FakeMesh({"policy.apply": [late]})

    run = Run(mesh, "apply", "-f", policy_file, "--wait")

    assert run.status == 3
    assert run.out.splitlines()[-1] == "stored, revision 7"
    assert "reviews-v1-abcde; see `tulle status`" in run.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["apply"],
        ["apply", "-f", "/nowhere.yaml"],
        ["delete"],
        ["delete", "vs"],
        ["delete", "pod", "x"],
        ["get", "all", "x"],
        ["scale", "ingress", "65"],
        ["status", "-o", "xml"],
        ["status", "--mesh", "a/b"],
        ["run", "Reviews", "--", "true"],
        ["run", "reviews", "--port", "x", "--", "true"],
        ["run", "reviews", "--health", "/x", "--", "true"],
        ["run", "db", "--port", "5432/tcp", "--health", "/x", "--", "true"],
        ["run", "reviews", "--label", "x", "--", "true"],
        ["run", "reviews"],
        ["up", "--bind", "localhost"],
        ["nothing"],
    ],
)
def test_a_mistake_of_usage_is_status_2(arguments: list[str]) -> None:
    run = Run(FakeMesh(), *arguments)

    assert run.status == 2, run.err
    assert run.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["aply"], "no such command 'aply'. Did you mean 'apply'? See `tulle --help`"),
        (["apply", "x.yaml"], "missing option '--file' / '-f'; see `tulle apply --help`"),
        (
            ["scale", "ingress", "-1"],
            "invalid value for 'replicas': it must be greater than or equal to 0; "
            "see `tulle scale --help`",
        ),
        (
            ["run", "a", "python3", "-m", "x"],
            "no such option: -m: an app's own stand behind --; see `tulle run --help`",
        ),
    ],
)
def test_a_mistake_of_usage_is_one_sentence(arguments: list[str], sentence: str) -> None:
    assert Run(FakeMesh(), *arguments).err == f"tulle: {sentence}\n"


def test_a_group_without_a_command_shows_its_help() -> None:
    run = Run(FakeMesh(), "credential")

    assert run.status == 2
    assert "Commands:" in run.err + run.out


@pytest.mark.parametrize("command", ["status", "services", "workloads"])
def test_a_refusal_is_json_too(command: str) -> None:
    kind = StatusAnswer if command == "status" else ServicesAnswer
    mesh = FakeMesh({f"mesh.{command}": [kind(id="1", ok=False, problems=[WRONG])]})

    run = Run(mesh, command, "-o", "json")

    assert run.status == 1
    assert json.loads(run.out)["problems"][0]["code"] == "schema"


def test_a_folder_that_is_named_as_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").mkdir()

    run = Run(FakeMesh(), "apply", "-f", str(tmp_path))

    assert (run.status, run.err) == (2, f"tulle: can't read {tmp_path}/odd.yaml: Is a directory\n")


def test_no_mesh_is_status_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_HOME", str(tmp_path))

    result = CliRunner().invoke(cli.build(), ["status"])

    assert result.exit_code == 4
    assert "start one with `tulle up`" in result.stderr


def test_nobody_who_answers_is_no_mesh() -> None:
    run = Run(FakeMesh(), "status")

    assert run.status == 4
    assert "nobody in the mesh answers" in run.err


def test_no_answer_is_a_failure_that_may_be_retried(policy_file: str) -> None:
    run = Run(FakeMesh({"policy.apply": NoAnswer("s", 1.0)}), "apply", "-f", policy_file)

    assert run.status == 1
    assert "say it again" in run.err


def test_run_has_125_for_its_own_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TULLE_HOME", str(tmp_path))

    run = Run(FakeMesh(), "run", "reviews", "--", "true")

    assert run.status == 125
    assert "tulle up" in run.err


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("vs", "VirtualService"),
        ("pa", "PeerAuthentication"),
        ("AuthorizationPolicies", "AuthorizationPolicy"),
    ],
)
def test_delete_by_name_takes_short_kinds(word: str, kind: str) -> None:
    mesh = FakeMesh({"policy.delete": [DONE]})

    run = Run(mesh, "delete", word, "reviews", "-n", "shop")

    assert run.status == 0
    request = codec.decode(DeleteRequest, mesh.asked[0][1])
    assert [(n.kind, n.namespace, n.name) for n in request.names] == [(kind, "shop", "reviews")]


def test_delete_by_file(policy_file: str) -> None:
    mesh = FakeMesh({"policy.delete": [DONE]})

    Run(mesh, "delete", "-f", policy_file)

    request = codec.decode(DeleteRequest, mesh.asked[0][1])
    assert (len(request.files), request.names) == (1, [])


def test_get_shows_what_was_written() -> None:
    mesh = FakeMesh({"policy.get": [PoliciesAnswer(id="1", ok=True, policies=[POLICY])]})

    as_yaml = Run(mesh, "get", "virtualservice", "reviews", "-o", "yaml").out
    as_json = Run(mesh, "get", "VirtualService", "reviews", "-o", "json").out

    assert list(yaml.safe_load(as_yaml)) == ["kind", "apiVersion"]
    assert json.loads(as_json) == [POLICY.data]
    request = codec.decode(GetRequest, mesh.asked[0][1])
    assert (request.kind, request.namespace, request.name) == (
        "VirtualService",
        "default",
        "reviews",
    )


def test_get_of_a_kind_lists_every_namespace() -> None:
    mesh = FakeMesh({"policy.list": [PoliciesAnswer(id="1", ok=True, policies=[POLICY])]})

    run = Run(mesh, "get", "vs")

    assert [line.split() for line in run.out.splitlines()] == [
        ["KIND", "NAMESPACE", "NAME", "CREATED"],
        ["VirtualService", "default", "reviews", "7"],
    ]
    assert codec.decode(GetRequest, mesh.asked[0][1]).namespace == ""


def test_get_of_nothing_is_a_failure() -> None:
    run = Run(FakeMesh({"policy.get": [PoliciesAnswer(id="1", ok=True)]}), "get", "vs", "nope")

    assert run.status == 1
    assert "there is no VirtualService default/nope" in run.err


def test_status_shows_who_is_behind_and_what_is_wrong() -> None:
    answer = StatusAnswer(
        id="1",
        ok=True,
        revision=Revision(epoch="e", number=7),
        leader="tulle-evaluator-1",
        proxies=[
            ProxyReport(
                id="ingress-abcde",
                role="gateway",
                state="ready",
                revision=7,
                current=True,
                listening=["gateway:80 127.0.0.1:8080"],
                problems=["port 81: in use by another process"],
            ),
            ProxyReport(
                id="reviews-v1-abcde",
                role="sidecar",
                namespace="default",
                service="reviews",
                state="ready",
                revision=6,
                current=False,
            ),
        ],
    )

    run = Run(FakeMesh({"mesh.status": [answer]}), "status")

    lines = [line.split() for line in run.out.splitlines()]
    assert lines[0] == ["revision", "7,", "leader", "tulle-evaluator-1"]
    assert lines[3][:6] == ["ingress-abcde", "gateway", "-", "ready", "7/7", "yes"]
    assert lines[4][:6] == ["reviews-v1-abcde", "sidecar", "default/reviews", "ready", "6/7", "no"]
    assert lines[6] == ["2", "proxies,", "1", "not", "current"]
    assert "ingress-abcde: port 81: in use by another process" in run.out


def test_json_is_the_answer_as_it_is() -> None:
    answer = StatusAnswer(id="1", ok=True, leader="x")

    run = Run(FakeMesh({"mesh.status": [answer]}), "status", "-o", "json")

    assert StatusAnswer.model_validate_json(run.out) == answer


REVIEWS = ServiceRecord(
    namespace="default",
    name="reviews",
    ports=[ServicePort(number=9080)],
    accounts=["reviews"],
    workloads=[
        Workload(
            id="reviews-v1-abcde",
            version="v1",
            account="reviews",
            state="ready",
            address="127.0.0.1",
            ports={9080: 4321},
        ),
        Workload(id="reviews-v2-abcde", account="reviews", address="127.0.0.1"),
    ],
)


def test_services_and_workloads_are_tables() -> None:
    answer = ServicesAnswer(id="1", ok=True, services=[REVIEWS])
    mesh = FakeMesh({"mesh.services": [answer], "mesh.workloads": [answer]})

    services = Run(mesh, "services").out.splitlines()
    workloads = Run(mesh, "workloads").out.splitlines()

    assert services[1].split() == ["default", "reviews", "9080/http", "1/2", "reviews"]
    assert workloads[1].split()[0] == "reviews-v1-abcde"
    assert workloads[1].split()[-1] == "9080=127.0.0.1:4321"
    assert len(workloads) == 3


def test_scale_says_when_it_is_done_and_why_it_is_not() -> None:
    refused = Answer(
        id="1", ok=False, problems=[WRONG.model_copy(update={"message": "no such pool"})]
    )

    good = FakeMesh({"mesh.scale": [Answer(id="1", ok=True)]})
    assert Run(good, "scale", "ingress", "3").out == "pool ingress has 3 proxies\n"
    request = codec.decode(ScaleRequest, good.asked[0][1])
    assert (request.pool, request.replicas) == ("ingress", 3)
    good = FakeMesh({"mesh.scale": [Answer(id="1", ok=True)]})
    assert Run(good, "scale", "evaluators", "1").out == "pool evaluators has 1 evaluator\n"

    run = Run(FakeMesh({"mesh.scale": [refused]}), "scale", "ingres", "3")
    assert run.status == 1
    assert "no such pool" in run.err


@pytest.mark.parametrize(
    "command",
    "up down run apply delete get status services workloads scale demo".split(),
)
def test_every_command_has_an_example(command: str) -> None:
    run = Run(FakeMesh(), command, "--help")

    assert run.status == 0
    assert f"Example: tulle {command}" in run.out


def test_no_summary_is_cut() -> None:
    commands = Run(FakeMesh(), "--help").out.partition("Commands:")[2]

    assert commands and "..." not in commands
