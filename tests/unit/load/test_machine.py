import os

from tulle.load import machine


def test_cpu_is_user_and_system_whatever_the_process_is_called() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    stat = f"12 (ray::Proxy (x) y) S 1 12 12 0 -1 0 5 6 7 8 {3 * tick} {tick} 99 99 20 0 9 0 777"
    assert machine.cpu_seconds(stat) == 4.0
