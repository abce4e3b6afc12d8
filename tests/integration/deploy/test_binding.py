"""Where the watcher binds."""

import pytest

from tulle.actors.holding.group import open_listening
from tulle.deploy.binding import Binding, choose
from tulle.deploy.errors import Failure, Usage


def test_a_port_in_use_is_said_with_the_option_that_changes_it() -> None:
    busy = open_listening("127.0.0.1", 0)
    port = busy.getsockname()[1]
    with pytest.raises(Failure, match=f"port {port}: in use.*--ingress-port"):
        choose("127.0.0.1", port, 0)
    with pytest.raises(Failure, match=f"port {port}: in use.*--http-port"):
        choose("127.0.0.1", 0, port)
    busy.close()


def test_two_ports_can_not_be_one() -> None:
    with pytest.raises(Usage):
        choose("127.0.0.1", 1234, 1234)


def test_port_0_is_a_free_one() -> None:
    found = choose("127.0.0.1", 0, 0)

    assert found.ingress_port and found.http_port and found.ingress_port != found.http_port


def test_a_gateway_port_is_as_written_but_80_is_the_ingress_port() -> None:
    binding = Binding("127.0.0.1", 8080, 15000)

    assert binding.of("gateway:80") == ("127.0.0.1", 8080)
    assert binding.of("gateway:9000") == ("127.0.0.1", 9000)
    assert binding.of("http") == ("127.0.0.1", 15000)


@pytest.mark.parametrize("name", ["", "gateway:", "gateway:x", "inbound:80", "outbound", "80"])
def test_other_names_are_none_of_the_watchers(name: str) -> None:
    with pytest.raises(ValueError, match="gateway:<port>"):
        Binding("127.0.0.1", 8080, 15000).of(name)


def test_addresses_as_others_write_them() -> None:
    assert Binding("0.0.0.0", 1, 2).ingress == "127.0.0.1:1"
    assert Binding("::1", 1, 2).http == "http://[::1]:2"
