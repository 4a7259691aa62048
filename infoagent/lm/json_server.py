"""What the servers of this package share: a port held from the start, a token, JSON replies that a leaving client
cannot break."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

logger = logging.getLogger(__name__)

SOCKET_SECONDS = 60.0
"""How long a connection may stand idle, and a body may stall."""
FAREWELL_SECONDS = 5.0
"""At the end: how long replies that are ready may take to leave."""


class JsonServer(ThreadingHTTPServer):
    """Holds its port from the start and answers once `start` is called. Raises OSError where the port is taken."""

    request_queue_size = 128

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler], token: str | None = None) -> None:
        super().__init__((host, port), handler, bind_and_activate=False)
        self.token = token
        self.server_bind()

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the name service about the host
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{self.server_name}:{self.server_port}"

    def start(self) -> None:
        """Answer from now on, in threads."""
        self.server_activate()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def stop(self) -> None:
        """No new connection."""
        self.shutdown()
        self.server_close()


class JsonHandler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"
    server_version = "infoagent"
    timeout = SOCKET_SECONDS
    disable_nagle_algorithm = True  # the kernel would hold the body back until the client confirms the header

    def allowed(self) -> bool:
        token = self.server.token
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token is None or hmac.compare_digest(given.encode(), token.encode()):
            return True
        self.refuse(401, "Authorization: the server wants its token")
        return False

    def body(self, largest_bytes: int, hint: str) -> bytes | None:
        """The request's body; None where it was refused, or the client has left."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.refuse(411, "Content-Length: must be given")
            return None
        if int(length) > largest_bytes:
            self.refuse(413, f"body: {length} bytes are above {largest_bytes}; {hint}")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True  # the client has left
            return None
        return body

    def refuse(self, status: int, error: str) -> None:
        self.close_connection = True  # what is left of the body must not be read as the next request
        self.reply(status, {"error": error})

    def reply(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        with contextlib.suppress(ConnectionError):  # a client that has left needs no reply
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        logger.debug(format, *arguments)
