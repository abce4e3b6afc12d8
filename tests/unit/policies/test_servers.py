"""Which servers of Gateways are open when they exclude each other."""

from tests.support.policy_mesh import Mesh
from tulle.policies.resolve import Index, spec
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.servers import OpenServer, open_servers, servers_by_host
from tulle.policies.world import INGRESS


def gateway(name: str, *servers: str, namespace: str = "default") -> str:
    listed = "".join(f"  - {{{server}}}\n" for server in servers)
    return (
        "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  servers:\n{listed}"
    )


def plain(hosts: str, port: int = 80, tls: str = "") -> str:
    name = f"p{port}-" + "".join(filter(str.isalnum, hosts))
    more = f", tls: {{{tls}}}" if tls else ""
    return f"port: {{number: {port}, name: {name}, protocol: HTTP}}, hosts: [{hosts}]{more}"


def secure(hosts: str, port: int = 443) -> str:
    text = plain(hosts, port, "mode: SIMPLE, credentialName: x")
    return text.replace("HTTP}", "HTTPS}")


def opened(*texts: str) -> tuple[OpenServer, ...]:
    return open_servers(
        (g, spec(g, Gateway)) for g in Index(Mesh(*texts).world).gateways_for(INGRESS)
    )


def test_servers_that_do_not_meet_are_all_open() -> None:
    first, second, third = opened(gateway("a", plain("x"), secure("x")), gateway("b", plain("y")))
    assert [server.hosts for server in (first, second, third)] == [("x",), ("x",), ("y",)]
    assert [server.position for server in (first, second, third)] == [0, 1, 0]
    assert not any(s.older or s.blocked_by or s.redirects for s in (first, second, third))


def test_a_port_has_the_protocol_of_the_older_gateway() -> None:
    first, second = opened(gateway("z", plain("x", 443)), gateway("a", secure("y")))
    assert (first.protocol, first.hosts) == ("HTTP", ("x",))
    assert (second.protocol, second.hosts) == ("HTTPS", ())
    assert second.blocked_by is not None and second.blocked_by.key.name == "z"


def test_what_is_blocked_blocks_nobody() -> None:
    *_, third = opened(
        gateway("a", plain("x", 443)), gateway("b", secure("y")), gateway("c", plain("y", 443))
    )
    assert (third.hosts, third.blocked_by, third.older) == (("y",), None, ())


def test_an_sni_host_has_one_server_and_http_hosts_may_have_several() -> None:
    _, second = opened(gateway("a", secure("x")), gateway("b", secure("x, y")))
    assert second.hosts == ("y",)
    assert [(host, policy.key.name) for host, policy in second.older] == [("x", "a")]
    _, second = opened(gateway("a", plain("x")), gateway("b", plain("x, y")))
    assert second.hosts == ("x", "y")
    assert [host for host, _ in second.older] == ["x"]


def test_an_sni_has_no_namespace_and_a_route_has() -> None:
    _, second = opened(gateway("a", secure("n/x")), gateway("b", secure("./x")))
    assert second.hosts == ()
    _, second = opened(gateway("a", plain("n/x")), gateway("b", plain("./x")))
    assert (second.hosts, second.older) == (("./x",), ())
    assert second.plain_hosts == ("x",)


def test_the_most_specific_server_of_a_host_is_found_of_equals_the_older() -> None:
    servers = opened(
        gateway("a", plain("'*'", tls="httpsRedirect: true")),
        gateway("b", plain("x.example")),
        gateway("c", plain("x.example", tls="httpsRedirect: true")),
    )
    table = servers_by_host(servers)[80]
    found = [table.find(host) for host in ("x.example", "y.example")]
    assert [server.gateway.key.name for server in found if server is not None] == ["b", "a"]
    assert [server.redirects for server in found if server is not None] == [False, True]
