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


VARIED = """\
local headers = {
    ["Host"] = "%(host)s",
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ["Accept-Language"] = "en-GB,en;q=0.5",
    ["Accept-Encoding"] = "gzip, deflate, br",
    ["Cache-Control"] = "no-cache",
    ["Referer"] = "http://%(host)s/",
    ["Sec-Fetch-Mode"] = "navigate",
}
local count = 0
request = function()
    count = count + 1
    headers["Cookie"] = "session=" .. count
    headers["X-Unique"] = "unique-" .. count
    return wrk.format("GET", "%(path)s/" .. count, headers)
end
"""


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


async def run(folder: Path, scenario: Scenario, port: int, seconds: int) -> Sample:
    """Runs wrk for `seconds`. Raises `WrkFailed`."""
    script = folder / "wrk.lua"
    script.write_text(SCRIPT + (VARIED % {"host": HOST, "path": scenario.path}) * scenario.varied)
    arguments = command(shutil.which("wrk") or "wrk", script, scenario, port, seconds)
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
