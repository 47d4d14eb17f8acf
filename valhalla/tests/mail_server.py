"""A mail server for tests: it takes every message and remembers which, in the order of their coming."""

from __future__ import annotations

import contextlib
import email
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator


class MailServer(socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as Django's backend needs; `taken` holds the Message-ID of each message taken.

    It answers `seconds` after it took a message: time in which whoever sent it can be killed. With `tls` it
    takes messages over TLS alone, after STARTTLS or from the start.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, seconds: float = 0, *, tls: ssl.SSLContext | None = None, from_the_start: bool = False
    ) -> None:
        self.seconds = seconds
        self.tls, self.from_the_start = tls, from_the_start
        self.taken: list[str] = []
        super().__init__(("127.0.0.1", 0), _Conversation)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    @property
    def is_encrypted(self) -> bool:
        return isinstance(self.connection, ssl.SSLSocket)

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
        self.wfile.flush()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # the sender was killed, or left
            if self.server.tls is not None and self.server.from_the_start:
                self.encrypt(self.server.tls)
            self.converse()

    def encrypt(self, context: ssl.SSLContext) -> None:
        self.connection: socket.socket = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")

    def converse(self) -> None:
        self.say("220 tests")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self.say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                if not text.endswith(b"\r\n"):
                    return  # cut off before its end, and so not taken
                self.server.taken.append(str(email.message_from_bytes(text)["Message-ID"]))
                time.sleep(self.server.seconds)
                self.say("250 taken")
            elif word == b"EHLO":
                self.say("250-tests\r\n250 STARTTLS")
            elif word == b"STARTTLS" and self.server.tls is not None:
                self.say("220 go on")
                self.encrypt(self.server.tls)
            elif word == b"MAIL" and self.server.tls is not None and not self.is_encrypted:
                self.say("530 not in the clear")
            else:
                self.say("221 bye" if word == b"QUIT" else "250 tests")


@contextlib.contextmanager
def mail_server(
    seconds: float = 0, *, tls: ssl.SSLContext | None = None, from_the_start: bool = False
) -> Iterator[MailServer]:
    """A mail server until the block ends."""
    with MailServer(seconds, tls=tls, from_the_start=from_the_start) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
