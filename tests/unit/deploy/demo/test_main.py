from pathlib import Path

import pytest

from tulle.deploy.demo.main import run, what_to_try


def test_a_step_that_does_not_exist_is_said_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(steps=(2, 9)) == 2
    assert (
        capsys.readouterr().err
        == "tulle: there is no step 9; the steps are 1, 2, 3, 4, 5, 6, 7, 8\n"
    )


def test_hold_says_what_to_try_with_this_demos_addresses() -> None:
    text = what_to_try(Path("/tmp/tulle-x"), "127.0.0.1:18080", "http://127.0.0.1:15000")
    assert "export TULLE_HOME=/tmp/tulle-x" in text
    assert "http://127.0.0.1:18080/productpage" in text
    assert "http://127.0.0.1:15000/metrics" in text
    policy = next(word for word in text.split() if word.endswith(".yaml"))
    assert Path(policy).exists()
