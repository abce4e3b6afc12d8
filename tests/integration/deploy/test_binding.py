"""Where the watcher binds."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tulle.actors.holding.holder import Holder
from tulle.deploy.binding import Binding, opened
from tulle.deploy.errors import Failure, Usage


class Opening:
    """A holder that asks `binding`, as the watcher's does."""

    def __init__(self, folder: Path) -> None:
        self.binding = Binding("127.0.0.1", 0, 0)
        self.holder = Holder(str(folder / "h.sock"), lambda *names: self.binding.of(names[2]))

    def open(self, binding: Binding) -> Binding:
        self.binding = binding
        return opened(binding, self.holder.reserve)


@pytest_asyncio.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    made = Opening(tmp_path)
    yield made
    await made.holder.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("option", ["--ingress-port", "--http-port"])
async def test_a_port_in_use_is_said_with_the_option_that_changes_it(
    opening: Opening, option: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        ports = (port, 0) if option == "--ingress-port" else (0, port)
        with pytest.raises(Failure, match=f"port {port}: in use.*{option}"):
            opening.open(Binding("127.0.0.1", *ports))


@pytest.mark.asyncio
async def test_an_address_of_another_machine_is_said_with_bind(opening: Opening) -> None:
    with pytest.raises(Failure, match=r"--bind 192\.0\.2\.1: this machine has no such address"):
        opening.open(Binding("192.0.2.1", 0, 0))


@pytest.mark.asyncio
async def test_two_ports_can_not_be_one(opening: Opening) -> None:
    with pytest.raises(Usage):
        opening.open(Binding("127.0.0.1", 1234, 1234))
    with pytest.raises(Usage, match="--ingress-port and --ingress-tls-port are both 1234"):
        opening.open(Binding("127.0.0.1", 1234, 0, 1234))


@pytest.mark.asyncio
async def test_what_is_opened_nobody_else_can_have(opening: Opening) -> None:
    found = opening.open(Binding("127.0.0.2", 0, 0))

    assert found.ingress_port != found.http_port
    for port in (found.ingress_port, found.http_port):
        with pytest.raises(OSError, match="in use"):
            socket.create_server((found.address, port))


def test_a_gateway_port_is_as_written_but_80_and_443_are_the_ingress_ports() -> None:
    binding = Binding("127.0.0.1", 8080, 15000, 8443)

    assert binding.of("gateway:80") == ("127.0.0.1", 8080)
    assert binding.of("gateway:443") == ("127.0.0.1", 8443)
    assert binding.of("gateway:9000") == ("127.0.0.1", 9000)
    assert binding.of("http") == ("127.0.0.1", 15000)


@pytest.mark.parametrize("name", ["", "gateway:", "gateway:x", "inbound:80", "outbound", "80"])
def test_other_names_are_none_of_the_watchers(name: str) -> None:
    with pytest.raises(ValueError, match="gateway:<port>"):
        Binding("127.0.0.1", 8080, 15000).of(name)


def test_addresses_as_others_write_them() -> None:
    assert Binding("0.0.0.0", 1, 2).ingress == "127.0.0.1:1"
    assert Binding("::1", 1, 2).http == "http://[::1]:2"
    assert Binding("127.0.0.2", 1, 2).from_here == "127.0.0.2"
