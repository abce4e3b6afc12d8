from pathlib import Path

import pytest

from tulle.load import wrk
from tulle.load.scenarios import SCENARIOS

OUTPUT = """\
Running 6s test @ http://127.0.0.1:18080/api/hello
  1 threads and 32 connections
Requests/sec:  13211.42
{"requests":79268,"duration_us":6000012,"p50_us":2310,"p99_us":4120,"errors":3}
"""


def test_figures_are_read_from_the_scripts_line() -> None:
    assert wrk.parse(OUTPUT) == wrk.Sample(79268, 6.000012, 2.31, 4.12, 3)


@pytest.mark.parametrize(
    "output", ["", "unable to connect to 127.0.0.1:1", "[]", '{"requests":1}', '{"requests":0}']
)
def test_what_is_no_result_is_said(output: str) -> None:
    with pytest.raises(wrk.WrkFailed, match=r"wrk said: "):
        wrk.parse(output)


def test_wrk_is_asked_for_the_scenarios_load() -> None:
    command = wrk.command("wrk", Path("/tmp/wrk.lua"), SCENARIOS["http1"], 18080, 6)
    assert command[:4] == ["wrk", "-t1", "-c32", "-d6s"]
    assert command[-1] == "http://127.0.0.1:18080/api/hello"
