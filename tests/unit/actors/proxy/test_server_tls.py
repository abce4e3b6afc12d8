"""Which server of a gateway a name belongs to, and what can't be used."""

from pathlib import Path

import pytest

from tests.support.web_ca import WebCA
from tulle.actors.proxy.material import Materials, Source, Unusable
from tulle.actors.proxy.server_tls import ServerContexts, ServerNames, server_context
from tulle.policies.config import GatewayListener, ServerTls

CA = WebCA()
EXACT = ServerTls(("shop.example", "Other.example"))
SUFFIX = ServerTls(("*.example",))
LONGER = ServerTls(("*.shop.example",))
ANY = ServerTls(("*",))


@pytest.mark.parametrize(
    ("sni", "server"),
    [
        ("shop.example", EXACT),
        ("other.example", EXACT),
        ("www.example", SUFFIX),
        ("a.b.example", SUFFIX),
        ("www.shop.example", LONGER),
        (".example", ANY),
        ("example", ANY),
        ("", ANY),
    ],
)
def test_exact_names_come_first_then_the_longest_wildcard(sni: str, server: ServerTls) -> None:
    assert ServerNames((ANY, SUFFIX, LONGER, EXACT)).find(sni) is server


def test_without_a_server_for_all_others_are_refused() -> None:
    names = ServerNames((SUFFIX, EXACT))
    assert names.find("other.test") is None
    assert names.find("") is None


def test_of_two_servers_with_one_host_the_first_counts() -> None:
    second = ServerTls(("shop.example",), credential="second")
    assert ServerNames((EXACT, second)).find("shop.example") is EXACT


def listener(*servers: ServerTls) -> GatewayListener:
    return GatewayListener(443, "HTTPS", (), servers)


def test_a_context_is_made_once_and_again_when_its_credential_changes() -> None:
    materials = Materials()
    contexts = ServerContexts(materials)
    shop = ServerTls(("shop.example",), credential="shop")
    materials.install(CA.credential("shop", "shop.example"))
    contexts.install([listener(shop)])
    first = contexts.choose(443, "shop.example")
    assert first is not None
    contexts.refresh()
    contexts.install([listener(shop, ANY)])
    assert contexts.choose(443, "shop.example") is first
    materials.install(CA.credential("shop", "shop.example"))
    contexts.refresh()
    assert contexts.choose(443, "shop.example") not in (None, first)
    materials.remove("shop")
    contexts.refresh()
    assert contexts.choose(443, "shop.example") is None


def test_ports_of_http_and_unknown_ones_have_none() -> None:
    contexts = ServerContexts(Materials())
    contexts.install([GatewayListener(80, "HTTP", ())])
    assert not contexts.encrypted(80)
    assert contexts.choose(80, "shop.example") is None


def test_mutual_without_a_ca_is_not_opened_to_everybody() -> None:
    materials = Materials()
    record = CA.credential("shop", "shop.example").model_copy(update={"ca": ""})
    materials.install(record)
    server = ServerTls(("shop.example",), "MUTUAL", credential="shop")
    with pytest.raises(Unusable, match="credential shop has no CA"):
        server_context(server, materials.read(Source("shop")))


def test_what_can_not_be_used_is_said_without_what_it_holds(tmp_path: Path) -> None:
    materials = Materials()
    (tmp_path / "huge.pem").write_bytes(b"x" * 1_048_577)
    (tmp_path / "text.pem").write_text("SECRET")
    for name, why in (("none.pem", "No such file"), ("huge.pem", "larger"), ("text.pem", "no PEM")):
        path = str(tmp_path / name)
        server = ServerTls(("a.example",), certificate=path, private_key=path)
        contexts = ServerContexts(materials)
        contexts.install([listener(server)])
        (problem,) = contexts.problems
        assert why in problem and path in problem and "SECRET" not in problem
    assert "SECRET" not in repr(
        CA.credential("x", "y").model_copy(update={"private_key": "SECRET"})
    )
