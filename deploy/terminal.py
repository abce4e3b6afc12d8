"""The terminal of `tulle run`: lent to the app when it wants to read it, taken back at the end.

The app has a process group of its own, so to the terminal it is in the background, and the kernel
stops it (SIGTTIN, SIGTTOU) when it reads or sets the terminal. Only then it gets it. A server that
never does leaves Ctrl-C to `tulle run`, which ends it in order.
"""

import contextlib
import os
import signal

WANTED = frozenset({signal.SIGTTIN, signal.SIGTTOU})
_STDIN = 0


class Terminal:
    """Standard input, if it is one."""

    def __init__(self) -> None:
        self.lent = False

    def lend(self, group: int) -> bool:
        """To this process group. False: there is no terminal, or it is not ours now, as when this
        process itself is in the background."""
        try:
            if os.tcgetpgrp(_STDIN) != os.getpgrp():
                return False
            # From now on we are the background, which may not take it back otherwise.
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(_STDIN, group)
        except OSError:
            return False
        self.lent = True
        return True

    def take_back(self) -> None:
        """Whoever has it now."""
        if self.lent:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(_STDIN, os.getpgrp())
            self.lent = False
