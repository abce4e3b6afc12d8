"""What `tulle up --print-nats-config` prints, and what it leaves in the mesh's folder."""

import re
import stat
from pathlib import Path

import orjson
import pytest

from tulle.bus import jwt
from tulle.bus.credentials import Credentials
from tulle.bus.issuer import Issuer, revoke
from tulle.bus.permissions import Role
from tulle.deploy import home
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.outside import config
from tulle.deploy.outside.options import Outside

OUTSIDE = Outside(nats="tls://nats.example:5222", ca="PEM")


def read(text: str) -> dict[str, object]:
    """What nats-server reads of it."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = (line.partition(": ") for line in lines)
    return {name: orjson.loads(value) for name, _, value in pairs}


def test_it_is_all_that_a_server_must_be_told(tmp_path: Path) -> None:
    where = Home(tmp_path / "m")
    said = read(config.printed(where, "m", OUTSIDE))
    issuer = Issuer.load(where.nats)
    assert (said["host"], said["port"]) == ("nats.example", 5222)
    assert said["tls"] == {"cert_file": "nats-cert.pem", "key_file": "nats-key.pem"}
    assert said["jetstream"] == {"store_dir": "nats-store", "sync_interval": "always"}
    assert (said["max_payload"], said["resolver"]) == (8 * 1024 * 1024, "MEMORY")
    preload = said["resolver_preload"]
    assert isinstance(preload, dict)
    assert set(preload) == {issuer.account.public, issuer.system.public}
    assert jwt.claims(preload[issuer.account.public])["iss"] == issuer.operator.public


def test_users_of_the_mesh_get_files_and_no_secret_is_printed(tmp_path: Path) -> None:
    where = Home(tmp_path / "m")
    text = config.printed(where, "m", OUTSIDE)
    issuer = Issuer.load(where.nats)
    seeds = [issuer.operator.seed, issuer.system.seed, issuer.account.seed]
    for role in Role:
        path = where.creds / f"{role.value}.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        user = Credentials.read(path)
        assert (user.url, user.ca) == (OUTSIDE.nats, OUTSIDE.ca)
        assert re.search(rf"^#   {role.value} {user.key.public}$", text, re.M)
        seeds.append(user.seed)
    assert not [seed for seed in seeds if seed in text]
    assert "#     publish   tulle.m.api.policy.*" in text


def test_printed_again_it_has_the_same_keys_and_who_was_revoked_since(tmp_path: Path) -> None:
    where = Home(tmp_path / "m")
    config.printed(where, "m", OUTSIDE)
    issuer, user = Issuer.load(where.nats), Credentials.read(where.creds / "runner.json")
    revoke(where.nats, user.key.public)
    preload = read(config.printed(where, "m", OUTSIDE))["resolver_preload"]
    assert isinstance(preload, dict)
    nats = jwt.claims(preload[issuer.account.public])["nats"]
    assert isinstance(nats, dict) and list(nats["revocations"]) == [user.key.public]
    assert Credentials.read(where.creds / "runner.json").seed == user.seed


def test_a_mesh_that_runs_keeps_its_files(tmp_path: Path) -> None:
    where = Home(tmp_path / "m")
    config.printed(where, "m", OUTSIDE)
    with home.lock(where):
        config.printed(where, "m", Outside(nats="tls://other:1"))
    assert Credentials.read(where.creds / "operator.json").url == OUTSIDE.nats


def test_without_tls_there_is_none_and_without_a_url_it_is_loopback(tmp_path: Path) -> None:
    where = Home(tmp_path / "m")
    assert "tls" not in read(config.printed(where, "m", Outside(nats="nats://127.0.0.1:1")))
    said = read(config.printed(where, "m", Outside()))
    assert (said["host"], said["port"]) == ("127.0.0.1", 4222)


def test_damaged_keys_are_said(tmp_path: Path) -> None:
    where = Home(tmp_path / "m")
    where.make()
    (where.nats / "keys.json").write_text("{}")
    with pytest.raises(Failure, match="backup"):
        config.printed(where, "m", OUTSIDE)
