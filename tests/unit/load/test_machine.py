import os

from tulle.load import machine


def test_cpu_is_user_and_system_whatever_the_process_is_called() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    stat = f"12 (ray::Proxy (x) y) S 1 12 12 0 -1 0 5 6 7 8 {3 * tick} {tick} 99 99 20 0 9 0 777"
    assert machine.cpu_seconds(stat) == 4.0


ROLLUP = """\
55d0c0000000-7ffd000 ---p 00000000 00:00 0  [rollup]
Rss:              204800 kB
Pss:              102400 kB
Pss_Dirty:         51200 kB
Private_Clean:      1024 kB
Private_Dirty:     50176 kB
"""


def test_memory_is_read_from_the_rollup() -> None:
    assert machine.memory(ROLLUP) == machine.Memory(pss_mb=100.0, private_mb=50.0)


def test_a_process_works_and_sleeps_and_has_a_command_line() -> None:
    before = machine.activity_of(os.getpid())
    sum(range(1_000_000))
    after = machine.activity_of(os.getpid())
    assert after.cpu_seconds > before.cpu_seconds
    assert after.wakeups >= before.wakeups
    assert "python" in machine.command_of(os.getpid())
