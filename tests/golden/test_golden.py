"""Policies in, problems and config out: guards the shape of config against changes by accident.

What config means is tested in tests/behaviour.
"""

from pathlib import Path

import orjson
import pytest
import yaml

from tests.support.policy_mesh import BOOKINFO, applied, parsed
from tulle.policies import config
from tulle.policies.compile.world import compile_all
from tulle.policies.world import World

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/in.yaml"))


def output(text: str) -> str:
    """Problems and all config of the policies in a mesh of Bookinfo's services, as YAML."""
    assert parsed(text, "in.yaml").documents
    outcome = applied(World.of((), BOOKINFO), text, file="in.yaml")
    compiled = compile_all(outcome.world)
    result = {
        "problems": [str(problem) for problem in outcome.problems],
        "config": {
            "/".join(key): orjson.loads(config.encode(value))["spec"]
            for key, value in sorted(compiled.items())
            if key[0] in ("gateway", "hosts")
            or "example" in key[-1]
            or any(
                word in str(value)
                for word in ("Service/", "Policy/", "Authentication/", "PeerMode(")
            )
        },
    }
    return yaml.dump(result, sort_keys=False, width=100, Dumper=yaml.CSafeDumper)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_config_is_as_it_was(case: Path, refresh_golden: bool) -> None:
    seen = output((case / "in.yaml").read_text())
    expected = case / "out.yaml"
    if refresh_golden:
        expected.write_text(seen)
    assert seen == expected.read_text(), "run `pytest tests/golden --refresh-golden`, read the diff"
