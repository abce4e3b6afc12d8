"""A TCP application: `python tcp_echo_app.py`, on port $PORT. Sends back what comes, to its end."""

import os
from socketserver import BaseRequestHandler, ThreadingTCPServer


class Echo(BaseRequestHandler):
    """One connection."""

    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)


if __name__ == "__main__":
    ThreadingTCPServer.daemon_threads = True
    with ThreadingTCPServer(("127.0.0.1", int(os.environ["PORT"])), Echo) as server:
        server.serve_forever()
