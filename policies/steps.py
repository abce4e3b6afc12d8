"""Work in steps: a generator that yields where others may have their turn, and returns its result.

Who must not be kept waiting (an event loop) takes a few steps at a time; all others say `finished`.
"""

from collections.abc import Generator
from typing import TypeVar

ResultT = TypeVar("ResultT")

Steps = Generator[None, None, ResultT]


def finished(steps: Steps[ResultT]) -> ResultT:
    """The result of all steps, taken at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: ResultT = end.value
            return result
