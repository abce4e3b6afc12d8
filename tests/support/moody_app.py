"""An application that fails as it is asked to: `python moody_app.py NAME [STATUS]`, on port $PORT.

    /fail/KEY/N     503 for the first N requests with that key, then as below
    /slow/SECONDS   as below, so much later
    anything        STATUS (200), and as JSON who answers, the headers and how many came to the path

The standard library alone: it starts at once.
"""

import json
import os
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = sys.argv[1]
STATUS = int(sys.argv[2]) if len(sys.argv) > 2 else 200
came: Counter[str] = Counter()


class Moody(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        came[self.path] += 1
        status = STATUS
        match self.path.split("?")[0].split("/")[1:]:
            case ["fail", _, times] if came[self.path] <= int(times):
                status = 503
            case ["slow", seconds]:
                time.sleep(float(seconds))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = {"name": NAME, "path": self.path, "headers": headers, "came": came[self.path]}
        self._answer(status, json.dumps(body).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Moody).serve_forever()
