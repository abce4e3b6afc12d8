import pytest

from tulle.load import idle
from tulle.load.idle import Usage
from tulle.load.machine import Activity


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("ray::EvaluatorActor", "evaluator"),
        ("ray::EvaluatorActor.health", "evaluator"),
        ("ray::IDLE", "ray worker without an actor"),
        ("ray::Other", "ray Other"),
        ("/venv/ray/core/src/ray/raylet/raylet --raylet_socket", "ray raylet"),
        ("/venv/bin/nats-server --config x", "nats-server"),
        ("python -m tulle.deploy.cli run backend -- sh", "tulle run"),
        ("nginx -c /tmp/backend.conf", idle.APPS),
    ],
)
def test_a_process_is_known_by_its_command_line(command: str, kind: str) -> None:
    assert idle.kind_of(command) == kind


def test_usage_is_summed_by_kind_of_processes_that_stayed() -> None:
    kinds = {1: "sidecar", 2: "sidecar", 3: "gateway"}
    before = {1: Activity(1.0, 10), 2: Activity(2.0, 20), 3: Activity(3.0, 30)}
    after = {1: Activity(1.5, 20), 2: Activity(2.5, 40), 4: Activity(9.0, 90)}
    found = idle.by_kind(kinds, before, after)
    assert found == {"sidecar": Usage(2, 1.0, 30)}
    assert found["sidecar"].figures(10) == {
        "processes": 2,
        "cpu_percent_each": 5.0,
        "wakeups_per_second_each": 1.5,
    }
