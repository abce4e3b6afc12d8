"""Runs wrk and reads what it measured; a Lua script prints exact figures as JSON."""

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tulle.load.scenarios import HOST, Scenario

MARGIN_SECONDS = 20.0
SCRIPT = """\
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
"""
"""Prints what `parse` reads."""
VARIED = (
    SCRIPT
    + """\
local sent = 0
request = function()
    sent = sent + 1
    return wrk.format("GET", wrk.path .. "-" .. sent)
end
"""
)
"""The same, and no two requests of a run have the same path."""


class WrkFailed(Exception):
    """wrk did not run to its end; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: `errors` are of connections, and answers that are neither 2xx nor 3xx."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int


def command(wrk: str, script: Path, scenario: Scenario, port: int, seconds: int) -> list[str]:
    """wrk's arguments."""
    load = ["-t1", f"-c{scenario.connections}", f"-d{seconds}s"]
    url = f"http://127.0.0.1:{port}{scenario.path}"
    return [wrk, *load, "-s", str(script), "-H", f"Host: {HOST}", url]


def parse(output: str) -> Sample:
    """What the script printed last. Raises `WrkFailed`."""
    lines = output.strip().splitlines()
    try:
        found = json.loads(lines[-1])
        if not found["requests"]:
            raise ValueError("no request was answered")
        return Sample(
            requests=found["requests"],
            seconds=found["duration_us"] / 1e6,
            p50_ms=found["p50_us"] / 1e3,
            p99_ms=found["p99_us"] / 1e3,
            errors=found["errors"],
        )
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise WrkFailed(f"wrk said: {output.strip() or 'nothing'}") from error


async def run(
    folder: Path, scenario: Scenario, port: int, seconds: int, script: str = SCRIPT
) -> Sample:
    """Runs wrk for `seconds`. Raises `WrkFailed`."""
    file = folder / "wrk.lua"
    file.write_text(script)
    arguments = command(shutil.which("wrk") or "wrk", file, scenario, port, seconds)
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(seconds + MARGIN_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise WrkFailed(f"wrk did not end {MARGIN_SECONDS:.0f} s after its time") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return parse(output.decode(errors="replace"))
