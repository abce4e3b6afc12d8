"""Settings: command line over environment over defaults."""

from pathlib import Path

import pytest

from tulle.deploy import settings
from tulle.deploy.errors import Usage


def test_the_command_line_wins_over_the_environment_and_that_over_defaults() -> None:
    assert settings.read(environ={}).mesh == "default"
    assert settings.read(environ={"TULLE_MESH": "blue"}).mesh == "blue"
    assert settings.read("green", environ={"TULLE_MESH": "blue"}).mesh == "green"


def test_a_variable_that_is_empty_says_nothing() -> None:
    env = dict.fromkeys(("TULLE_MESH", "TULLE_HOME", "TULLE_NATS", "TULLE_CREDS", "TULLE_LOG"), "")

    assert settings.read(environ=env) == settings.read(environ={})


def test_all_variables_are_read() -> None:
    found = settings.read(
        environ={
            "TULLE_HOME": "/h",
            "TULLE_NATS": "nats://127.0.0.1:4222",
            "TULLE_CREDS": "/c/operator.json",
            "TULLE_LOG": "json",
            "TULLE_ACCESS_LOG": "text",
            "TULLE_TELEMETRY": "off",
            "TULLE_LEAF_TTL": "10m",
        }
    )

    assert found == settings.Settings(
        home=Path("/h"),
        nats="nats://127.0.0.1:4222",
        creds=Path("/c/operator.json"),
        json_logs=True,
        access_log="text",
        telemetry=False,
        leaf_ttl=600.0,
    )
    assert found.mesh_folder == Path("/h/default")


@pytest.mark.parametrize("name", ["..", "a/b", "-/", "a" * 33, "ä", "a b"])
def test_a_mesh_is_never_named_like_a_path(name: str) -> None:
    with pytest.raises(Usage, match="can't name a mesh"):
        settings.read(name, environ={})


def test_an_unknown_form_of_logs_is_refused() -> None:
    with pytest.raises(Usage, match="text or json"):
        settings.read(environ={"TULLE_LOG": "xml"})


def test_the_access_log_is_off_unless_asked_for() -> None:
    assert settings.read(environ={}).access_log == "off"
    env = {"TULLE_ACCESS_LOG": "text"}
    assert settings.read(environ=env).access_log == "text"
    assert settings.read(environ=env, access_log="json").access_log == "json"
    assert settings.read(environ=env, access_log="off").access_log == "off"


def test_an_unknown_form_of_the_access_log_is_refused() -> None:
    with pytest.raises(Usage, match="TULLE_ACCESS_LOG is 'xml': it takes off, text, json"):
        settings.read(environ={"TULLE_ACCESS_LOG": "xml"})
    with pytest.raises(Usage, match="--access-log is ''"):
        settings.read(environ={}, access_log="")


def test_telemetry_is_on_or_off() -> None:
    assert settings.read(environ={}).telemetry
    with pytest.raises(Usage, match="on or off"):
        settings.read(environ={"TULLE_TELEMETRY": "less"})


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10), ("10s", 10), ("5m", 300), ("24h", 86_400), ("7d", 604_800)]
)
def test_the_life_of_certificates(text: str, seconds: float) -> None:
    assert settings.read(environ={}, leaf_ttl=text).leaf_ttl == seconds


@pytest.mark.parametrize("text", ["", "9s", "0", "-10", "1.5h", "10 s", "h", "10sm", "²0"])
def test_a_life_that_is_none_or_too_short_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="--leaf-ttl is"):
        settings.read(environ={}, leaf_ttl=text)
    with pytest.raises(Usage, match="TULLE_LEAF_TTL is"):
        settings.read(environ={"TULLE_LEAF_TTL": text or "never"})


@pytest.mark.parametrize("url", ["localhost", "127.0.0.1:4222", "http://127.0.0.1:4222"])
def test_what_is_no_url_of_nats_is_refused(url: str) -> None:
    with pytest.raises(Usage, match=r"TULLE_NATS is .* as in nats://"):
        settings.read(environ={"TULLE_NATS": url})
