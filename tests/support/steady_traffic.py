"""Requests at a steady rate, whatever becomes of the ones before: an open loop.

with steady_traffic(lambda: mesh.get("/", "shop.test"), per_second=50) as seen:
    ...
assert seen.failures == []
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.mesh import Reply

THREADS = 32


@dataclass
class Seen:
    """What came of the requests so far; `failures` are status and reason, or the error."""

    served: int = 0
    failures: list[str] = field(default_factory=list)

    def ask(self, send: Callable[[], Reply]) -> None:
        """Sends one request; a 200 is served, everything else has failed."""
        try:
            reply = send()
        except OSError as error:
            self.failures.append(repr(error))
            return
        if reply.status == 200:
            self.served += 1
        else:
            self.failures.append(f"{reply.status} {reply.headers.get('x-tulle-reason')}")


@contextmanager
def steady_traffic(send: Callable[[], Reply], per_second: float) -> Iterator[Seen]:
    """Until the block ends; then all answers are there."""
    seen, stop = Seen(), threading.Event()

    def start_each_in_time(threads: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            threads.submit(seen.ask, send)
            due += 1 / per_second

    with ThreadPoolExecutor(THREADS) as threads:
        starter = threading.Thread(target=start_each_in_time, args=(threads,))
        starter.start()
        try:
            yield seen
        finally:
            stop.set()
            starter.join()
