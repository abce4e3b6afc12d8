"""What `--nats`, `--nats-ca` and `--ray` may be, and the sentence for what they may not."""

from pathlib import Path

import pytest

from tests.support.web_ca import WebCA
from tulle.deploy import settings
from tulle.deploy.errors import Usage
from tulle.deploy.outside import options
from tulle.deploy.outside.options import Outside
from tulle.deploy.settings import Settings

TLS = "tls://nats.example:4222"


def parsed(nats: str | None = None, ca: Path | None = None, ray: str | None = None) -> Outside:
    return options.parse(Settings(home=Path("/h"), nats=nats, nats_ca=ca, ray=ray))


def test_without_them_all_is_our_own() -> None:
    assert parsed() == Outside()
    assert parsed().ray_host == "tulle.deploy.local"
    assert parsed().last_words == "ended, nothing of it runs any more"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (TLS, TLS),
        ("tls://nats.example", TLS),
        ("nats.example:4222", TLS),
        ("tls://10.0.0.1:5222/", "tls://10.0.0.1:5222"),
        ("tls://[::1]:1", "tls://[::1]:1"),
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://localhost", "nats://localhost:4222"),
    ],
)
def test_a_url_of_nats(said: str, meant: str) -> None:
    assert parsed(said).nats == meant


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("http://nats.example", "one URL is needed"),
        ("tls://me:secret@nats.example", "one URL is needed"),
        ("tls://nats.example/x", "one URL is needed"),
        ("tls://", "names no host"),
        ("tls://nats.example:99999", "out of range"),
        ("nats://nats.example", "needs TLS, as in tls://nats.example:4222"),
        ("nats://10.0.0.1:5222", "needs TLS, as in tls://10.0.0.1:5222"),
    ],
)
def test_what_is_no_url_of_nats(said: str, why: str) -> None:
    with pytest.raises(Usage, match=why.replace("[", r"\[")):
        parsed(said)


def test_ray_needs_nats_with_tls() -> None:
    for nats in (None, "nats://127.0.0.1:4222"):
        with pytest.raises(Usage, match="--ray needs --nats with TLS"):
            parsed(nats, ray="127.0.0.1:6379")
    found = parsed(TLS, ray="10.0.0.1:6379")
    assert found.ray == "10.0.0.1:6379"
    assert found.ray_host == "tulle.deploy.outside.host"
    assert "`tulle down` ends them" in found.last_words


@pytest.mark.parametrize("said", ["auto", "10.0.0.1", "ray://10.0.0.1:10001", ":6379", "a:b"])
def test_what_is_no_address_of_ray(said: str) -> None:
    with pytest.raises(Usage, match="--ray"):
        parsed(TLS, ray=said)


def test_a_ca_is_pem_of_certificates_and_for_tls_alone(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    with pytest.raises(Usage, match="No such file"):
        parsed(TLS, ca)
    ca.write_text("garbage")
    with pytest.raises(Usage, match="no PEM of certificates"):
        parsed(TLS, ca)
    ca.write_bytes(b"\xff\xfe")
    with pytest.raises(Usage, match="no PEM of certificates"):
        parsed(TLS, ca)
    ca.write_text(WebCA().ca_pem)
    assert parsed(TLS, ca).ca == ca.read_text()
    for nats in (None, "nats://127.0.0.1"):
        with pytest.raises(Usage, match="--nats-ca is for a NATS with TLS"):
            parsed(nats, ca)


def test_the_command_line_wins_over_the_environment() -> None:
    env = {"TULLE_NATS": "tls://a", "TULLE_NATS_CA": "/ca", "TULLE_RAY": "b:1"}
    found = settings.read(environ=env)
    assert (found.nats, found.nats_ca, found.ray) == ("tls://a", Path("/ca"), "b:1")
    found = settings.read(environ=env, nats="tls://c", nats_ca=Path("/d"), ray="e:2")
    assert (found.nats, found.nats_ca, found.ray) == ("tls://c", Path("/d"), "e:2")
