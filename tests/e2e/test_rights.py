"""Rights in a whole mesh, through the commands that a user has: runners, credentials, clients."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.support.gateway_certificates import certificate_pem, key_pem, make_key
from tests.support.mesh import Mesh
from tests.support.mesh_client import mesh_client
from tulle.bus.credentials import Credentials

pytestmark = pytest.mark.timeout(180)


def test_a_runner_starts_its_account_and_no_other(mesh: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "ci.json"
    mesh.succeed("runner", "add", "ci", "--service-account", "guest", "-o", str(file))
    assert "ci" in mesh.succeed("runner", "list")
    its_own = ("--creds", str(file), "--service-account", "guest")
    assert mesh.tulle("run", "visitor", *its_own, "--", "true").returncode == 0

    began = time.monotonic()
    other = mesh.tulle("run", "visitor", "--creds", str(file), "--", "true")
    assert time.monotonic() - began < 10  # refused, not waited for
    assert other.returncode == 125
    assert "runner-ci may not start service account default/visitor" in other.stderr

    mesh.succeed("runner", "remove", "ci")
    removed = mesh.tulle("run", "visitor", *its_own, "--", "true")
    assert removed.returncode == 125 and "'runner-ci' was refused" in removed.stderr


def test_a_credential_is_added_listed_and_deleted(mesh: Mesh, tmp_path: Path) -> None:
    key = make_key()
    (tmp_path / "cert.pem").write_text(certificate_pem(key, "shop.test", begins=time.time() - 60))
    (tmp_path / "key.pem").write_text(key_pem(key))
    files = ("--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem"))
    assert mesh.succeed("credential", "add", "shop", *files) == "created credential shop\n"
    assert "shop.test" in mesh.succeed("credential", "list")
    assert mesh.succeed("credential", "delete", "shop") == "deleted credential shop\n"
    logs = (mesh.home / "default" / "logs").iterdir()
    assert not any("PRIVATE KEY" in log.read_text(errors="replace") for log in logs)


def test_each_proxy_has_a_user_of_its_own(mesh: Mesh) -> None:
    gateway = mesh.proxies("gateway")[0].id
    path = mesh.home / "default" / "proxies" / gateway / "nats.json"
    assert Credentials.read(path).user == f"proxy-{gateway}"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_is_not_let_into_a_sidecar(mesh: Mesh) -> None:
    other_user = (sys.executable, "-m", "tests.support.other_user")
    with mesh_client(mesh, "guarded") as client:
        address, port = client.address
        for uid, answer in ((os.getuid(), "407"), (65_534, "closed")):
            done = mesh.plain(*other_user, str(uid), address, str(port))
            assert done.stdout.strip() == answer, done
