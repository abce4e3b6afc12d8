"""Which PeerAuthentication counts."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.policies.config import InboundConfig, Labels, PeerAuthenticationConfig
from tulle.policies.decide.peers import DEFAULT, Mode, mode_of

ROOT = "istio-system"
V1: Labels = (("app", "reviews"), ("version", "v1"))


def peer(
    mode: str, *labels: tuple[str, str], ports: dict[int, str] | None = None
) -> PeerAuthenticationConfig:
    return PeerAuthenticationConfig("x", labels, mode, tuple((ports or {}).items()))  # type: ignore[arg-type]


def mode(
    *, root: list[PeerAuthenticationConfig], own: list[PeerAuthenticationConfig], port: int = 9080
) -> Mode:
    other = InboundConfig("other", (peer("DISABLE"),))
    configs = [InboundConfig("default", tuple(own)), other, InboundConfig(ROOT, tuple(root))]
    return mode_of(configs, ROOT, "default", V1, port)


APP, VERSION, OTHER = ("app", "reviews"), ("version", "v1"), ("version", "v2")


@pytest.mark.parametrize(
    ("root", "own", "expected"),
    [
        pytest.param([], [], "STRICT", id="nothing is said: STRICT"),
        pytest.param([peer("PERMISSIVE")], [], "PERMISSIVE", id="the mesh's"),
        pytest.param(
            [peer("PERMISSIVE")], [peer("DISABLE")], "DISABLE", id="the namespace's first"
        ),
        pytest.param([peer("DISABLE")], [peer("")], "DISABLE", id="an unset one inherits"),
        pytest.param([peer("")], [peer("")], "STRICT", id="all unset: STRICT"),
        pytest.param(
            [], [peer("DISABLE"), peer("PERMISSIVE", APP)], "PERMISSIVE", id="the workload's first"
        ),
        pytest.param(
            [], [peer("DISABLE", OTHER)], "STRICT", id="another workload's does not count"
        ),
        pytest.param(
            [], [peer("DISABLE", APP, OTHER)], "STRICT", id="all labels of a selector must be there"
        ),
        pytest.param(
            [], [peer("DISABLE", APP), peer("PERMISSIVE", VERSION)], "DISABLE", id="the older wins"
        ),
        pytest.param(
            [peer("PERMISSIVE")],
            [peer("", APP), peer("DISABLE", VERSION)],
            "PERMISSIVE",
            id="the older wins also when it inherits",
        ),
        pytest.param(
            [], [peer("DISABLE"), peer("PERMISSIVE")], "DISABLE", id="older namespace-wide"
        ),
        pytest.param(
            [], [peer("STRICT", APP, ports={9080: "DISABLE"})], "DISABLE", id="its port first"
        ),
        pytest.param(
            [], [peer("DISABLE", APP, ports={81: "STRICT"})], "DISABLE", id="not another port"
        ),
        pytest.param(
            [], [peer("DISABLE", APP, ports={9080: ""})], "DISABLE", id="an unset port inherits"
        ),
        pytest.param(
            [],
            [peer("PERMISSIVE"), peer("", APP, ports={9080: ""})],
            "PERMISSIVE",
            id="and further",
        ),
        pytest.param(
            [peer("DISABLE", APP)], [], "DISABLE", id="a selector of the root holds everywhere"
        ),
        pytest.param(
            [peer("DISABLE", APP)],
            [peer("PERMISSIVE", APP)],
            "PERMISSIVE",
            id="the namespace's selector before the root's",
        ),
    ],
)
def test_precedence(
    root: list[PeerAuthenticationConfig], own: list[PeerAuthenticationConfig], expected: str
) -> None:
    assert mode(root=root, own=own) == expected


def test_in_the_root_namespace_its_policies_hold_for_its_workloads() -> None:
    configs = [InboundConfig(ROOT, (peer("PERMISSIVE"), peer("DISABLE", APP)))]
    assert mode_of(configs, ROOT, ROOT, V1, 80) == "DISABLE"
    assert mode_of(configs, ROOT, ROOT, (), 80) == "PERMISSIVE"
    assert mode_of([], ROOT, ROOT, (), 80) == "STRICT"


modes = st.sampled_from(["", "DISABLE", "PERMISSIVE", "STRICT"])
labels = st.lists(st.sampled_from([APP, VERSION, OTHER]), max_size=2, unique=True)
peers = st.builds(
    lambda mode, labels, ports: peer(mode, *sorted(labels), ports=ports if labels else {}),
    modes,
    labels,
    st.dictionaries(st.sampled_from([80, 81]), modes, max_size=2),
)


def naive(own: list[PeerAuthenticationConfig], root: list[PeerAuthenticationConfig]) -> Mode:
    """Every level written down, the first that says something counts."""
    wanted = [p for p in (*own, *root) if p.selector and all(pair in V1 for pair in p.selector)]
    levels: list[str] = []
    if wanted:
        levels += [mode for number, mode in wanted[0].ports if number == 80]
        levels.append(wanted[0].mode)
    levels += [p.mode for p in own if not p.selector][:1]
    levels += [p.mode for p in root if not p.selector][:1]
    said = [mode for mode in levels if mode] + [DEFAULT]
    assert said[0] in get_args(Mode)
    return said[0]  # type: ignore[return-value]


@given(st.lists(peers, max_size=4), st.lists(peers, max_size=4))
def test_precedence_is_that_of_a_naive_reading(
    own: list[PeerAuthenticationConfig], root: list[PeerAuthenticationConfig]
) -> None:
    assert mode(root=root, own=own, port=80) == naive(own, root)
