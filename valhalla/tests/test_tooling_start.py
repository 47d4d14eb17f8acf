"""Starting and stopping for real: the settings that stop a start, and the processes that end together."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from pytest_django import Settings

from conftest import free_port
from governance.models import User
from valhalla import running, supervision
from valhalla.supervision import CannotStart
from valhalla.tests.processes import ask
from valhalla.tests.serving import MANAGE, ROOT, Server, environment, is_alive, wait_for

LOOKS_WRONG = re.compile(r"traceback|error|warning|exception|critical", re.IGNORECASE)
# Of the processor, since the tests share the machine: on one of its own a start takes less time than that.
SECONDS_OF_THE_NEXT_START = 10

# One after the other: two servers that start at once on two cores say nothing about either.
pytestmark = pytest.mark.xdist_group("start")


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Server]]:
    """Start a server on an empty database."""
    servers: list[Server] = []

    def started(changes: Mapping[str, str] | None = None, *options: str) -> Server:
        servers.append(Server(tmp_path, database_url, changes, *options))
        return servers[-1]

    yield started
    for server in servers:
        server.end()


@pytest.fixture
def start_again(installed: Path, tmp_path: Path, start: Callable[..., Server]) -> Callable[..., Server]:
    """Start a server on a database that an earlier start has migrated."""
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    return start


@pytest.mark.once
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ENV": "banana"}, "ENV"),
        ({"PORT": "abc"}, "PORT"),
        ({"PORT": "70000"}, "PORT"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://root@127.0.0.1/x"}, "DATABASE_URL"),
        ({"TLS": "perhaps"}, "TLS"),
        ({"TRUSTED_PROXIES": "10.0.0.5, proxy.example"}, "proxy.example"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "10.0.0.1/8"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "everybody"),
        ({"GO_LIVE_ENFORCE": "sometimes"}, "GO_LIVE_ENFORCE"),
        ({"CELERY_BROKER_URL": "carrier-pigeon"}, "CELERY_BROKER_URL"),
        ({"ALLOWED_HOSTS": "https://valhalla.example/"}, "ALLOWED_HOSTS"),
        ({"VALHALLA_VAR": "/proc/version/var"}, "VALHALLA_VAR"),
        ({"ENV": "production", "ALLOWED_HOSTS": "valhalla.example"}, "SECRET_KEY"),
        ({"ENV": "production", "ALLOWED_HOSTS": "valhalla.example", "SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"ENV": "production", "SECRET_KEY": "0123456789" * 5}, "ALLOWED_HOSTS"),
        ({"DATABASE_URL": "postgresql://valhalla@127.0.0.1:1/valhalla"}, "DATABASE_URL"),
        ({"EMAIL_URL": "gopher://mail.example"}, "EMAIL_URL"),
        (
            {
                "ENV": "production",
                "ALLOWED_HOSTS": "valhalla.example",
                "SECRET_KEY": "s9Zk2" * 15,
                "EMAIL_URL": "smtp://user:password@mail.example:587",
            },
            "in the clear to mail.example",
        ),
        ({"MIN_FREE_DISK_MB": "plenty"}, "MIN_FREE_DISK_MB"),
    ],
    ids=lambda value: (
        " ".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else ""
    ),
)
def test_a_wrong_setting_stops_the_start_with_one_sentence(
    tmp_path: Path, wrong: Mapping[str, str], named: str
) -> None:
    settings = {"PORT": str(free_port()), **wrong}
    ended = subprocess.run(
        [*MANAGE, "serve"],
        cwd=ROOT,
        env=environment(tmp_path, settings),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ended.stderr.strip().splitlines()
    assert ended.returncode == 2, ended.stderr
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("valhalla: ")
    assert named in lines[0]


@pytest.mark.once
def test_a_broker_or_an_address_that_is_none_stops_the_start_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BROKER_CONFIGURED, settings.CELERY_BROKER_URL = True, "redis://127.0.0.1:1/0"
    with pytest.raises(CannotStart, match="no broker answers at CELERY_BROKER_URL"):
        running.check_broker()
    monkeypatch.setenv("VALHALLA_HOST", "203.0.113.77")
    settings.PORT = free_port()
    with pytest.raises(CannotStart, match=r"203\.0\.113\.77"):
        running.check_port()


@pytest.fixture(scope="module")
def shared(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for tests that leave it as it was, in a folder that others could read before it started."""
    var = tmp_path_factory.mktemp("shared")
    shutil.copytree(installed, var, dirs_exist_ok=True)
    for path in (var, *var.iterdir()):
        path.chmod(path.stat().st_mode | 0o055)  # as an installation from before has it
    server = Server(var, f"sqlite:///{var / 'own.sqlite3'}")
    try:
        server.wait_until_up()
        yield server
    finally:
        server.press_ctrl_c()
        server.end()


@pytest.mark.once
def test_a_start_leaves_nothing_that_another_account_could_read(shared: Server) -> None:
    var = shared.log.parent
    made = [var, *var.rglob("*")]
    assert {"own.sqlite3", "secret_key", "static"} <= {path.name for path in made}
    assert not [path for path in made if _is_open_to_others(path)][:5]


def _is_open_to_others(path: Path) -> bool:
    """Whether another account may do anything with it; SQLite's own files may be gone by now."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except FileNotFoundError:
        return False


@pytest.mark.once
def test_a_server_whose_disk_is_full_lives_and_is_not_ready(start_again: Callable[..., Server]) -> None:
    server = start_again({"MIN_FREE_DISK_MB": "10000000"}, "--only", "web")
    server.wait_until_up()

    assert server.kinds() == {"gunicorn"}
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{server.url}/readyz")
    with urllib.request.urlopen(f"{server.url}/livez") as answer:
        assert answer.status == 200
    server.press_ctrl_c()


@pytest.mark.once
def test_a_port_in_use_stops_the_start_before_anything_is_made(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = subprocess.run(
            [*MANAGE, "serve"],
            cwd=ROOT,
            env=environment(tmp_path, {"PORT": str(port)}),
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"valhalla: port {port} ")
    assert not list(tmp_path.glob("*.sqlite3"))


def test_from_empty_it_serves_and_ctrl_c_stops_all_though_connections_are_open(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start()
    server.wait_until_up()
    assert len((tmp_path / "contact_hash_key").read_text()) > 50
    calls = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(6)]
    for call in calls:
        call.request("GET", "/livez")
        answer = call.getresponse()
        answer.read()
        assert answer.status == 200
    family = server.family()
    assert server.kinds() == {"gunicorn", "beat"}

    began = time.monotonic()
    assert server.press_ctrl_c() == 0

    assert time.monotonic() - began < supervision.STOP_SECONDS
    assert not [process for process in family if is_alive(process)]
    assert "was killed" not in server.printed
    assert not LOOKS_WRONG.search(server.printed), server.printed


def readyz(server: Server) -> str:
    with urllib.request.urlopen(f"{server.url}/readyz") as answer:
        return str(answer.read().decode().strip())


@pytest.mark.once
def test_a_job_process_that_dies_is_started_again_while_the_web_server_goes_on(shared: Server) -> None:
    assert readyz(shared) == "ok"
    first, web = shared.child("beat"), shared.child("gunicorn")
    for _time in range(2):
        shared.child("beat").kill()
        assert wait_for(lambda: readyz(shared) == "degraded", seconds=30)
        assert wait_for(lambda: readyz(shared) == "ok", seconds=60)

    assert "the job process ended by itself (signal 9); starting it again in 1 s." in shared.printed
    assert "the job process ended by itself (signal 9); starting it again in 2 s." in shared.printed
    assert shared.child("beat").pid != first.pid
    assert is_alive(web)


@pytest.mark.once
def test_when_the_web_server_dies_all_is_stopped_and_the_reason_told(
    start_again: Callable[..., Server],
) -> None:
    server = start_again()
    server.wait_until_up()
    family = server.family()
    server.child("gunicorn").kill()
    assert server.wait() == 1
    assert "valhalla: the web server ended by itself (signal 9), so everything was stopped." in server.printed
    assert not [process for process in family if is_alive(process)]


@pytest.mark.once
@pytest.mark.parametrize(
    ("only", "broker", "words"),
    [
        ("", True, {"gunicorn", "beat", "worker"}),
        ("", False, {"gunicorn", "beat"}),
        ("web", True, {"gunicorn"}),
        ("scheduler", True, {"beat"}),
        ("worker", True, {"worker"}),
        ("scheduler", False, {"beat"}),
    ],
)
def test_each_kind_of_process_can_be_started_alone(
    settings: Settings, only: str, broker: bool, words: set[str]
) -> None:
    settings.BROKER_CONFIGURED = broker
    commands = [word for program in running.programs(only) for word in program.command]
    assert words == set(commands) & {"gunicorn", "beat", "worker"}


@pytest.mark.once
def test_a_worker_alone_needs_a_broker(settings: Settings) -> None:
    settings.BROKER_CONFIGURED = False
    with pytest.raises(CannotStart, match="set CELERY_BROKER_URL"):
        running.programs("worker")


@pytest.mark.once
@pytest.mark.broker
def test_a_worker_alone_says_what_it_is_and_stops_in_order(
    start_again: Callable[..., Server], broker_url: str
) -> None:
    server = start_again({"CELERY_BROKER_URL": broker_url}, "--only", "worker")
    assert wait_for(lambda: "The job worker runs. Ctrl-C stops it." in server.printed), server.printed
    assert server.kinds() == {"worker"}
    assert server.press_ctrl_c() == 0
    assert "was killed" not in server.printed


@pytest.mark.once
def test_the_next_start_keeps_the_data_and_is_quick_and_killed_it_leaves_no_process_behind(
    start_again: Callable[..., Server], tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'own.sqlite3'}"
    server = start_again()
    secret = (tmp_path / "secret_key").read_text()
    server.wait_until_up()
    family = server.family()
    spent = [process.cpu_times() for process in [psutil.Process(server.process.pid), *family]]

    assert sum(times.user + times.system for times in spent) < SECONDS_OF_THE_NEXT_START
    assert "migrations" not in server.printed
    assert ask(database, "SELECT username FROM governance_user") == [("vera",)]
    assert (tmp_path / "secret_key").read_text() == secret

    server.process.kill()
    assert server.wait() == -signal.SIGKILL
    assert wait_for(lambda: not any(map(is_alive, family)), seconds=15)


@pytest.mark.once
@pytest.mark.broker
def test_with_a_broker_a_worker_runs_beside_the_scheduler(
    start_again: Callable[..., Server], broker_url: str
) -> None:
    server = start_again({"CELERY_BROKER_URL": broker_url})
    server.wait_until_up()
    family = server.family()
    assert server.child("beat")
    assert server.child("worker")
    server.process.terminate()
    assert server.wait() == 0
    assert not [process for process in family if is_alive(process)]
    assert not LOOKS_WRONG.search(server.printed), server.printed


@pytest.mark.once
@pytest.mark.django_db
def test_the_greeting_names_a_password_only_while_it_opens_the_door(
    settings: Settings, tmp_path: Path
) -> None:
    settings.VAR = tmp_path
    settings.PORT = free_port()
    User.objects.create_user("ann", password="opens the door")
    User.objects.create_user("bob", password="another by now")
    people = [
        {"username": "ann", "role": "manager", "password": "opens the door"},
        {"username": "bob", "role": "va", "password": "bob's first one"},
        {"username": "cy", "role": "va", "password": "of another database"},
    ]
    (tmp_path / "demo-people.json").write_text(json.dumps({"people": people, "token": "t0ken"}))
    told = running.greeting(demo=True)
    assert re.search(r"ann +manager +opens the door", told)
    assert re.search(r"bob +va +\(changed since\)", told)
    assert "bob's first one" not in told
    assert "of another database" not in told
    assert f"curl -H 'Authorization: Bearer t0ken' 'http://127.0.0.1:{settings.PORT}/api/" in told


@pytest.mark.once
def test_a_program_that_ignores_the_request_to_stop_is_killed_with_its_children(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; sleep 60 & echo $! >{ready}; while true; do sleep 1; done"
    child = supervision.start(supervision.Program("stubborn", ["sh", "-c", script]))
    assert wait_for(lambda: ready.exists() and ready.read_text().strip() != "", seconds=10)
    grandchild = psutil.Process(int(ready.read_text()))
    assert not supervision.stop([child], seconds=0.5)
    assert child.poll() == -signal.SIGKILL
    assert wait_for(lambda: not is_alive(grandchild), seconds=5)
