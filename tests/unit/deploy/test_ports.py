"""The `--port` argument."""

import pytest

from tulle.deploy.errors import Usage
from tulle.deploy.ports import PortArgument, environment, parse_ports


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9080", PortArgument(9080, 9080)),
        ("8000:80", PortArgument(8000, 80)),
        ("0:9080", PortArgument(0, 9080)),
        ("web:8000", PortArgument(8000, 8000, "web")),
        ("web:8000:80", PortArgument(8000, 80, "web")),
        ("web:8000:80/http", PortArgument(8000, 80, "web")),
    ],
)
def test_each_form_is_read(text: str, expected: PortArgument) -> None:
    assert parse_ports([text]) == [expected]


@pytest.mark.parametrize(
    "text",
    ["", ":", "web", "web:", ":80", "a:b:80", "1:2:3", "70000", "80:0", "-1", "80/", "80/udp", "²"],
)
def test_what_has_no_meaning_is_a_mistake_of_usage(text: str) -> None:
    with pytest.raises(Usage, match="--port"):
        parse_ports([text])


def test_a_free_port_needs_the_number_that_peers_use() -> None:
    with pytest.raises(Usage, match="--port 0:9080"):
        parse_ports(["0"])


def test_a_port_may_speak_tcp() -> None:
    (port,) = parse_ports(["5432/tcp"])
    assert (port.app, port.service, port.protocol) == (5432, 5432, "tcp")
    with pytest.raises(Usage, match="http or tcp"):
        parse_ports(["5432/udp"])


@pytest.mark.parametrize(
    "texts", [["80", "81:80"], ["80:1", "80:2"], ["a:80", "a:81"], ["0:80", "0:81"]]
)
def test_two_ports_can_not_be_one(texts: list[str]) -> None:
    with pytest.raises(Usage):
        parse_ports(texts)


def test_the_app_finds_its_ports_in_its_environment() -> None:
    ports = [PortArgument(8000, 80), PortArgument(8001, 81, "admin-ui")]

    assert environment(ports) == {"PORT": "8000", "PORT_ADMIN_UI": "8001"}
    assert environment([]) == {}
