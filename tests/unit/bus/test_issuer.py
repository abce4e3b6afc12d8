"""The keys of a mesh's NATS: made once, kept, and never replaced when they are damaged."""

import stat
from pathlib import Path

import orjson
import pytest

from tulle.bus import jwt, nkeys
from tulle.bus.issuer import Issuer, KeysDamaged, read_revoked, revoke
from tulle.bus.permissions import ProxyUser, Rights, RunnerUser, rights
from tulle.bus.subjects import Subjects

RIGHTS = Rights(publish=("a",), subscribe=("b",))
SUBJECTS = Subjects("test")


def nats_claims(text: str) -> dict[str, object]:
    said = jwt.claims(text)["nats"]
    assert isinstance(said, dict)
    return said


def test_keys_are_made_once(tmp_path: Path) -> None:
    made = Issuer.make(tmp_path)
    assert Issuer.make(tmp_path) == Issuer.load(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert made.account.seed not in repr(made)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"operator": "x"}', "null"])
def test_damaged_keys_are_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    for load in (Issuer.load, Issuer.make):
        with pytest.raises(KeysDamaged, match=r"keys\.json.*backup"):
            load(tmp_path)
    assert (tmp_path / "keys.json").read_text() == content


def test_keys_in_each_others_place_are_said(tmp_path: Path) -> None:
    made = Issuer.make(tmp_path)
    seeds = {"operator": made.account.seed, "system": made.system.seed, "account": "x"}
    (tmp_path / "keys.json").write_bytes(orjson.dumps(seeds))
    with pytest.raises(KeysDamaged) as damaged:
        Issuer.load(tmp_path)
    assert made.account.seed not in str(damaged.value)


def test_a_user_that_is_renewed_keeps_its_key_and_gets_the_rights_of_now(tmp_path: Path) -> None:
    issuer, path = Issuer.make(tmp_path), tmp_path / "nats.json"
    first = issuer.renewed(path, "nats://a", "proxy-a", RIGHTS)
    first.write(path)
    again = issuer.renewed(path, "nats://b", "proxy-a", Rights(("c",), ()))
    assert (again.seed, again.url) == (first.seed, "nats://b")
    assert nats_claims(again.jwt)["pub"] == {"allow": ["c"]}
    assert issuer.renewed(path, "nats://a", "proxy-b", RIGHTS).seed != first.seed
    path.write_text("garbage")
    assert issuer.renewed(path, "nats://a", "proxy-a", RIGHTS).seed != first.seed


def test_who_is_revoked_stays_so(tmp_path: Path) -> None:
    issuer = Issuer.make(tmp_path)
    assert read_revoked(tmp_path) == {}
    first, second = (nkeys.generate(nkeys.Kind.USER).public for _ in range(2))
    revoke(tmp_path, first)
    revoked = revoke(tmp_path, second)
    assert set(revoked) == {first, second} and read_revoked(tmp_path) == revoked
    assert nats_claims(issuer.account_jwt("test", revoked))["revocations"] == revoked
    (tmp_path / "revoked.json").write_text("[")
    with pytest.raises(KeysDamaged, match="revoked"):
        read_revoked(tmp_path)


def test_the_updater_can_do_nothing_but_update(tmp_path: Path) -> None:
    issuer = Issuer.make(tmp_path)
    who = issuer.updater("nats://a")
    assert jwt.claims(who.jwt)["iss"] == issuer.system.public
    assert nats_claims(who.jwt)["pub"] == {"allow": [issuer.update_subject]}
    assert nats_claims(who.jwt)["sub"] == {"allow": [f"{who.inbox}.>"]}


def test_the_configuration_has_no_seed(tmp_path: Path) -> None:
    issuer = Issuer.make(tmp_path)
    text = orjson.dumps(issuer.configuration("test", {})).decode()
    assert not any(key.seed in text for key in (issuer.operator, issuer.system, issuer.account))


@pytest.mark.parametrize("text", ["a.b", ">", "*", "a b", "ä"])
def test_no_name_widens_the_rights_of_its_user(text: str) -> None:
    plain = rights(ProxyUser("a", "default", "a", "p"), SUBJECTS)
    odd = rights(ProxyUser(text, text, text, text), SUBJECTS)
    for before, after in zip(plain.publish, odd.publish, strict=True):
        assert before.count(".") == after.count(".")
        assert before.count("*") == after.count("*") and before.count(">") == after.count(">")
    runner = rights(RunnerUser(text, text, text), SUBJECTS)
    assert [subject.count("*") for subject in runner.publish] == [0, 0, 1]
    assert not any(" " in subject for subject in (*odd.subscribe, *runner.subscribe))
