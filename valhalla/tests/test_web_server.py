"""Unfinished requests hold no thread that answers, end in time, and SIGTERM loses none that was begun."""

from __future__ import annotations

import gc
import http.client
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from conftest import OF_SETTINGS, answers_at, free_port
from valhalla import running, web_worker
from valhalla.tests.processes import Program, wait_until

# With the tests that start servers: two at once on two cores say nothing about either.
pytestmark = [pytest.mark.once, pytest.mark.xdist_group("start")]
UNFINISHED = 60


class WebServer(Program):
    """The web server as `serve` starts it, on an empty database."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if name not in OF_SETTINGS}
        own = {
            "VALHALLA_VAR": str(folder),
            "PORT": str(self.port),
            "DJANGO_SETTINGS_MODULE": "valhalla.settings",
        }
        command = [
            f"127.0.0.1:{self.port}" if word == f"127.0.0.1:{settings.PORT}" else word
            for word in running.web_server().command
        ]
        assert command[0] == sys.executable
        super().__init__("web server", command, {**kept, **own}, folder)

    def livez(self, seconds: float = 20) -> float:
        """Ask whether it lives; returns how many seconds the answer took."""
        began = time.monotonic()
        call = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        call.request("GET", "/livez")
        assert call.getresponse().status == 200
        call.close()
        return time.monotonic() - began

    def begin(self, text: str) -> socket.socket:
        """Send the beginning of a request and leave it at that."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        client.sendall(text.encode())
        return client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    program = WebServer(tmp_path)
    program.start()
    wait_until(lambda: answers_at(program.port), "the web server answers", program)
    program.livez()
    yield program
    program.kill()


HEADER = "POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n"


@pytest.mark.parametrize("text", [HEADER, f"{HEADER}\r\nusername="], ids=["header", "body"])
def test_unfinished_requests_keep_nobody_waiting(server: WebServer, text: str) -> None:
    clients = [server.begin(text) for _number in range(UNFINISHED)]

    slowest = max(server.livez() for _number in range(5))

    assert slowest < 3  # seconds; the machine is shared with other tests
    for client in clients:
        client.close()


def test_an_unfinished_request_is_ended_in_time(server: WebServer) -> None:
    began = time.monotonic()
    client = server.begin(HEADER)
    assert client.recv(1) == b""
    assert web_worker.HEADER_SECONDS - 1 < time.monotonic() - began < web_worker.HEADER_SECONDS + 10


def test_a_body_that_is_announced_too_large_is_refused_at_once(server: WebServer) -> None:
    client = server.begin(HEADER.replace("500", str(web_worker.LARGEST_BODY + 1)) + "\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_unfinished_bodies_fill_neither_memory_nor_disk(server: WebServer) -> None:
    header = HEADER.replace("500", str(web_worker.LARGEST_BODY)) + "\r\n"
    taken = web_worker.ALL_BODIES // web_worker.LARGEST_BODY * settings.WEB_PROCESSES

    clients = [server.begin(header) for _number in range(taken + 1)]

    answered, _, _ = select.select(clients, [], [], 10)
    assert answered
    answer = answered[0].recv(200)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 30" in answer
    for client in clients:
        client.close()

    def takes_another() -> bool:
        client = server.begin(header)
        refused, _, _ = select.select([client], [], [], 1)
        client.close()
        return not refused

    wait_until(takes_another, "what they held is given back", server)
    assert all(takes_another() for _process in range(2 * settings.WEB_PROCESSES))


def test_a_body_that_comes_in_pieces_arrives_whole(server: WebServer) -> None:
    body = "x" * (web_worker.IN_MEMORY + 100_000)
    head = HEADER.replace("500", str(len(body)))
    client = server.begin(f"{head}Expect: 100-continue\r\n\r\n")
    assert client.recv(100).startswith(b"HTTP/1.1 100 ")
    for start in range(0, len(body), 300_000):
        client.sendall(body[start : start + 300_000].encode())
    answer = b""
    while b"HTTP/1.1 " not in answer.replace(b"HTTP/1.1 100 Continue", b""):
        piece = client.recv(1000)
        assert piece
        answer += piece
    assert b"HTTP/1.1 413" not in answer  # an id in the text may have these digits


def test_a_connection_goes_on_after_a_form_was_sent(server: WebServer) -> None:
    call = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for _form in range(3):
        call.request("POST", "/login/", b"username=x", {"Content-Type": "application/x-www-form-urlencoded"})
        call.getresponse().read()  # whatever the page says without a database
        assert call.sock is not None, "the connection was closed"
        call.request("GET", "/livez")
        answer = call.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok\n")
    call.close()
    assert "Error handling request" not in server.log.read_text()


def test_sigterm_answers_every_request_that_was_begun(server: WebServer) -> None:
    answers: list[int | str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            except ConnectionRefusedError:
                return
            try:
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                answers.append(int(client.recv(1000).split()[1]))
            except (OSError, IndexError) as problem:
                answers.append(type(problem).__name__)
            client.close()

    threads = [threading.Thread(target=ask, daemon=True) for _number in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    os.kill(server.pid, signal.SIGTERM)
    time.sleep(4)
    stop.set()
    for thread in threads:
        thread.join(30)

    assert len(answers) > 20
    # the kernel may queue one more between the last look into its queue and the close
    lost = [answer for answer in answers if answer != 200]
    assert len(lost) <= 1, lost


@pytest.mark.once
def test_garbage_is_collected_once_all_apps_are_ready() -> None:
    assert gc.isenabled()
