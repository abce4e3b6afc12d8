"""`tulle runner`: the key is made here, its seed is in a file of the user's alone."""

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.api import FakeMesh
from tulle.bus import codec, jwt, nkeys
from tulle.bus.credentials import Credentials
from tulle.bus.errors import Forbidden
from tulle.bus.keeping import (
    RunnerAddRequest,
    RunnerAnswer,
    RunnerRecord,
    RunnerRemoveRequest,
    RunnersAnswer,
)
from tulle.bus.messages import Answer, ProblemRecord
from tulle.bus.subscription import Message
from tulle.deploy import cli
from tulle.deploy.cli.options import World

ACCOUNT = nkeys.generate(nkeys.Kind.ACCOUNT)


class Signing(FakeMesh):
    """Signs whatever key it is asked for."""

    async def request(self, subject: str, data: bytes, timeout: float) -> Message:  # noqa: ASYNC109
        self.asked.append((subject, data))
        asked = codec.decode(RunnerAddRequest, data)
        signed = jwt.user_jwt(ACCOUNT, asked.user, "runner-ci", 1, publish=(), subscribe=())
        answer = RunnerAnswer(id=asked.id, ok=True, url="nats://u", user="runner-ci", jwt=signed)
        return Message(subject, codec.encode(answer))


def run(mesh: FakeMesh, *arguments: str) -> Result:
    return CliRunner().invoke(cli.build(), ["runner", *arguments], obj=World(mesh.connect))


ADD = ("add", "ci", "--namespace", "shop", "--service-account", "reviews")


def test_add_writes_credentials_and_sends_no_secret(tmp_path: Path) -> None:
    mesh, path = Signing(), tmp_path / "ci.json"
    done = run(mesh, *ADD, "-o", str(path))
    assert done.exit_code == 0, done.stderr
    found = Credentials.read(path)
    assert (found.url, found.user) == ("nats://u", "runner-ci")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [(subject, data)] = mesh.asked
    assert subject.endswith("api.runner.add")
    request = codec.decode(RunnerAddRequest, data)
    assert (request.name, request.namespace, request.account) == ("ci", "shop", "reviews")
    assert request.user == found.key.public
    assert found.seed.encode() not in data and found.seed not in done.stdout
    assert f"tulle run --creds {path}" in done.stdout


def test_the_file_is_by_default_beside_those_of_the_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TULLE_HOME", str(tmp_path))
    (tmp_path / "default" / "creds").mkdir(parents=True)
    assert run(Signing(), *ADD).exit_code == 0
    assert (tmp_path / "default" / "creds" / "runner-ci.json").exists()


def test_a_file_is_never_overwritten_and_nothing_is_asked_then(tmp_path: Path) -> None:
    mesh, path = Signing(), tmp_path / "ci.json"
    path.write_text("precious")
    refused = run(mesh, *ADD, "-o", str(path))
    assert (refused.exit_code, mesh.asked, path.read_text()) == (2, [], "precious")
    missing = run(mesh, *ADD, "-o", str(tmp_path / "nowhere" / "ci.json"))
    assert (missing.exit_code, mesh.asked) == (2, [])


def test_a_refusal_leaves_no_file(tmp_path: Path) -> None:
    problem = ProblemRecord(code="runner-exists", severity="error", message="runner ci exists")
    answer = RunnerAnswer(id="1", ok=False, problems=[problem])
    refused = run(FakeMesh({"runner.add": [answer]}), *ADD, "-o", str(tmp_path / "ci.json"))
    assert refused.exit_code == 1 and "runner ci exists" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_remove_says_that_the_file_is_of_no_use() -> None:
    mesh = FakeMesh({"runner.remove": [Answer(id="1", ok=True)]})
    assert "removed runner ci" in run(mesh, "remove", "ci").stdout
    assert codec.decode(RunnerRemoveRequest, mesh.asked[0][1]).name == "ci"


def test_list_shows_who_may_start_what() -> None:
    runner = RunnerRecord(name="ci", namespace="shop", account="reviews", user="U", created=0)
    mesh = FakeMesh({"runner.list": [RunnersAnswer(id="1", ok=True, runners=[runner])]})
    lines = run(mesh, "list").stdout.splitlines()
    assert lines[1].split()[:3] == ["ci", "shop", "reviews"]
    assert '"account": "reviews"' in run(mesh, "list", "-o", "json").stdout


def test_a_runner_that_asks_for_more_is_told_who_he_is() -> None:
    mesh = FakeMesh(
        {"runner.list": Forbidden("runner-ci", "publish to", "tulle.x.api.runner.list")}
    )
    refused = run(mesh, "list")
    assert refused.exit_code == 1 and "'runner-ci'" in refused.stderr
    assert "operator" in refused.stderr


@pytest.mark.parametrize("verb", ["add", "remove", "list"])
def test_every_verb_has_an_example(verb: str) -> None:
    assert f"Example: tulle runner {verb}" in run(FakeMesh(), verb, "--help").stdout
