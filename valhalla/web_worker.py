"""The web server's worker: gunicorn's threads, which unfinished requests cannot occupy.

gunicorn's gthread reads a request in the thread that answers it, for as long as the client takes: twelve
unfinished requests occupied all threads. Here many separate threads without database connections read whole
requests, each within a time limit; only then does a request take one of the few threads that run Django.
docs/decisions/web-server.md explains the choice of this server.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import ThreadWorker

READERS = 256  # requests per process that may be unfinished at a time, or wait for an answer
HEADER_SECONDS = 10.0
BODY_SECONDS = 30.0
SEND_SECONDS = 60.0  # without progress, for a client that does not read its response
LARGEST_BODY = 32 * 1024 * 1024  # bytes; an import file is the largest
ALL_BODIES = 8 * LARGEST_BODY  # bytes that one process holds at a time, in memory and in temporary files
IN_MEMORY = 1024 * 1024  # bytes; larger bodies are read into a temporary file
PIECE = 64 * 1024
# Alive even while all threads that answer are busy, so this is answered without waiting for one of them.
ALIVE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 30\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class Worker(ThreadWorker):
    """Reads whole requests, within a time limit, before calling Django."""

    def get_thread_pool(self) -> ThreadPoolExecutor:
        self.answering = ThreadPoolExecutor(max_workers=self.cfg.threads)
        self.bodies = Budget(ALL_BODIES)
        return ThreadPoolExecutor(max_workers=READERS)

    def set_accept_enabled(self, enabled: bool) -> None:
        """As gunicorn does; at shutdown also accept connections waiting in the queues, then close at once.

        gunicorn closes the listeners only after everything is answered, and the kernel resets connections
        that have queued up meanwhile.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()

    def handle(self, conn: Any) -> object:
        conn.init = _limited(conn)
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> object:
        if (req.method, req.path) == ("GET", "/livez"):
            conn.sock.sendall(ALIVE)
            return False
        conn.read_until = time.monotonic() + BODY_SECONDS
        length = _content_length(req)
        if length > LARGEST_BODY:
            conn.sock.sendall(TOO_LARGE)
            return False
        streamed = req.body
        with self.bodies.take(length) as granted, tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as body:
            if not granted:
                conn.sock.sendall(TOO_MANY)
                return False
            if length:
                if any(name == "EXPECT" for name, _value in req.headers):
                    conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                while piece := req.body.read(PIECE):
                    body.write(piece)
                if body.tell() < length:
                    raise NoMoreData
                body.seek(0)
                req.body = body
            conn.sock.settimeout(SEND_SECONDS)
            try:
                return self.answering.submit(super().handle_request, req, conn).result()
            finally:
                req.body = streamed  # gunicorn looks for a rest of it, and this file is closed by then


class Budget:
    """A budget of bytes shared by the requests of a process."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[bool]:
        """Reserve `size` bytes for the block, and yield whether there were that many."""
        with self._lock:
            granted = size <= self._left
            held = size if granted else 0
            self._left -= held
        try:
            yield granted
        finally:
            with self._lock:
                self._left += held


def _content_length(req: Any) -> int:
    """Return the Content-Length of the body; 0 without one. gunicorn has already refused invalid values."""
    return next((int(value) for name, value in req.headers if name == "CONTENT-LENGTH"), 0)


def _limited(conn: Any) -> object:
    """Return a function that prepares a connection for its next request, whose header has a time limit."""
    prepare = type(conn).init.__get__(conn)

    def init() -> None:
        prepare()
        conn.read_until = time.monotonic() + HEADER_SECONDS
        unreader = conn.parser.unreader
        read = type(unreader).chunk.__get__(unreader)

        def chunk(size_hint: int | None = None) -> object:
            left = conn.read_until - time.monotonic()
            if left <= 0:
                raise NoMoreData
            conn.sock.settimeout(left)
            try:
                return read(size_hint)
            except TimeoutError:
                raise NoMoreData from None

        unreader.chunk = chunk

    return init
