"""Istio's own samples: accepted as they are, or refused for what is said not to be there yet."""

from pathlib import Path

import orjson
import pytest
import yaml

from tests.support.policy_mesh import BOOKINFO, service
from tests.support.shared import SAMPLES
from tulle.policies.apply import apply
from tulle.policies.compile.world import compile_all
from tulle.policies.config import OutboundConfig, StaticEndpoint
from tulle.policies.parse import parse
from tulle.policies.world import Policy, World

REFUSED = {
    "tcp-echo-20-v2.yaml": {"spec.tcp"},
    "tcp-echo-all-v1.yaml": {"spec.servers[0].port.protocol", "spec.tcp"},
}
WORLD = World.of((), [*BOOKINFO, service("helloworld", 5000), service("httpbin", 8000)])
FILES = sorted(SAMPLES.glob("*/*.yaml"))

pytestmark = pytest.mark.needs_shared


# Without a file there is one case, the folder itself: skipped with the reason, or failed when
# Istio's files are there and the samples are not.
@pytest.mark.parametrize("sample", FILES or [SAMPLES], ids=lambda sample: sample.stem)
def test_a_sample_is_accepted_or_refused_for_what_is_not_there_yet(sample: Path) -> None:
    parsed = parse(sample.read_text(), sample.name)
    assert parsed.problems == ()
    outcome = apply(WORLD, parsed.documents, 1)
    errors = [problem for problem in outcome.problems if problem.severity == "error"]
    assert {problem.code for problem in errors} <= {"not-supported-yet"}
    assert {problem.path for problem in errors} == REFUSED.get(sample.name, set())
    assert all(problem.line > 0 for problem in errors)
    for config in compile_all(outcome.world).values():
        assert config.inconsistencies() == []


@pytest.mark.parametrize("sample", FILES or [SAMPLES], ids=lambda sample: sample.stem)
def test_what_is_stored_of_a_sample_equals_what_another_reader_makes_of_it(sample: Path) -> None:
    text = sample.read_text()
    expected = [document for document in yaml.safe_load_all(text) if document is not None]
    stored = [Policy(document, 1).stored() for document in parse(text, sample.name).documents]
    assert orjson.loads(orjson.dumps(stored)) == expected
    again = [Policy.from_stored(data, 1) for data in orjson.loads(orjson.dumps(stored))]
    assert [policy.stored() for policy in again] == expected


def test_what_is_said_to_be_refused_is_among_them() -> None:
    assert REFUSED.keys() <= {file.name for file in FILES}


def test_the_egress_sample_sends_plain_http_on_as_tls() -> None:
    parsed = parse((SAMPLES / "bookinfo" / "egress-rule-google-apis.yaml").read_text())
    outcome = apply(WORLD, parsed.documents, 1)
    assert outcome.problems == ()
    config = compile_all(outcome.world)["outbound", "www.googleapis.com"]
    assert isinstance(config, OutboundConfig)
    [route] = config.ports[0].routes
    assert (config.ports[0].port, config.ports[0].protocol) == (80, "http")
    [google] = [c for c in config.clusters if c.name == route.targets[0].cluster]
    assert (google.port, google.tls, google.protocol, google.dns) == (443, "SIMPLE", "http", True)
    assert google.endpoints == (StaticEndpoint("www.googleapis.com", 443),)
