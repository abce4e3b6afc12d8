"""`tulle credential`: what is sent, what is shown; a key is in no output and no argument."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.api import FakeMesh
from tulle.bus import codec
from tulle.bus.keeping import (
    CredentialAddRequest,
    CredentialDeleteRequest,
    CredentialReport,
    CredentialsAnswer,
)
from tulle.bus.messages import Answer, ProblemRecord
from tulle.deploy import cli
from tulle.deploy.cli.options import World


def run(mesh: FakeMesh, *arguments: str) -> Result:
    return CliRunner().invoke(cli.build(), ["credential", *arguments], obj=World(mesh.connect))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "cert.pem").write_text("CERT")
    (tmp_path / "key.pem").write_text("SECRET")
    return ["--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem")]


def test_add_sends_the_files(files: list[str], tmp_path: Path) -> None:
    answer = Answer(id="1", ok=True, changes=["created credential bookstore"])
    mesh = FakeMesh({"credential.add": [answer]})
    (tmp_path / "ca.pem").write_text("CA")
    done = run(mesh, "add", "bookstore", *files, "--ca", str(tmp_path / "ca.pem"))
    assert (done.exit_code, done.stdout) == (0, "created credential bookstore\n")
    request = codec.decode(CredentialAddRequest, mesh.asked[0][1])
    assert (request.name, request.certificate, request.private_key, request.ca) == (
        "bookstore",
        "CERT",
        "SECRET",
        "CA",
    )


def test_a_refusal_names_each_problem_and_no_key(files: list[str]) -> None:
    problem = ProblemRecord(
        code="key-mismatch", severity="error", path="private_key", message="not of the certificate"
    )
    mesh = FakeMesh({"credential.add": [Answer(id="1", ok=False, problems=[problem])]})
    refused = run(mesh, "add", "bookstore", *files)
    assert refused.exit_code == 1
    assert "error: private_key: not of the certificate [key-mismatch]" in refused.stderr
    assert "SECRET" not in refused.stdout + refused.stderr


@pytest.mark.parametrize("content", [None, b"\x30\x82\xff", b"x" * 70_000])
def test_a_key_file_that_is_none_is_a_mistake_of_usage(
    files: list[str], tmp_path: Path, content: bytes | None
) -> None:
    key = tmp_path / "key.pem"
    key.unlink() if content is None else key.write_bytes(content)
    refused = run(FakeMesh(), "add", "bookstore", *files)
    assert refused.exit_code == 2 and "key.pem" in refused.stderr


def test_delete_names_it() -> None:
    answer = Answer(id="1", ok=True, changes=["deleted credential bookstore"])
    mesh = FakeMesh({"credential.delete": [answer]})
    assert run(mesh, "delete", "bookstore").stdout == "deleted credential bookstore\n"
    assert codec.decode(CredentialDeleteRequest, mesh.asked[0][1]).name == "bookstore"


def test_list_shows_hosts_and_end() -> None:
    report = CredentialReport(name="bookstore", hosts=["a.b", "c.d"], not_after=1_700_000_000)
    answer = CredentialsAnswer(id="1", ok=True, credentials=[report])
    mesh = FakeMesh({"credential.list": [answer]})
    lines = run(mesh, "list").stdout.splitlines()
    assert lines[1].split() == "bookstore a.b, c.d 2023-11-14 22:13 UTC no".split()
    assert '"not_after": 1700000000.0' in run(mesh, "list", "-o", "json").stdout


@pytest.mark.parametrize("verb", ["add", "delete", "list"])
def test_every_verb_has_an_example(verb: str) -> None:
    assert f"Example: tulle credential {verb}" in run(FakeMesh(), verb, "--help").stdout
