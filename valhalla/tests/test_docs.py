"""The commands of docs/ do what the pages say: each is run in a real shell and its answer compared.

A block marked ``console`` holds commands after ``$`` and, below each, the answer; ``…`` stands for anything.
Pages that are read one after the other share one shell, as their reader does.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import OF_SETTINGS, free_port

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
STARTS = re.compile(r"^make (up|serve)$")
SECONDS = 600  # for one command; a start on a busy machine is the longest

# With the tests that start servers: two at once on two cores say nothing about either.
pytestmark = pytest.mark.xdist_group("start")


@dataclass(frozen=True)
class Step:
    """A command and the answer that the page promises; `line` is where it stands."""

    page: str
    line: int
    command: str
    answer: str


def steps_of(page: str) -> list[Step]:
    """Return the commands of a page in their order."""
    steps: list[Step] = []
    inside = False
    answer: list[str] = []
    for number, line in enumerate((DOCS / page).read_text().splitlines(), 1):
        if line.startswith("```"):
            if inside and steps:
                steps[-1] = Step(page, steps[-1].line, steps[-1].command, "\n".join(answer))
            inside, answer = line == "```console", []
        elif inside and line.startswith("$ "):
            if answer and steps:
                steps[-1] = Step(page, steps[-1].line, steps[-1].command, "\n".join(answer))
            steps.append(Step(page, number, line[2:], ""))
            answer = []
        elif inside and steps and not answer and steps[-1].command.endswith("\\"):
            steps[-1] = Step(page, steps[-1].line, f"{steps[-1].command}\n{line}", "")
        elif inside:
            answer.append(line)
    return steps


def agrees(promised: str, printed: str) -> bool:
    """Say whether what was printed is what the page promises; spaces and line ends count as one space."""
    pattern = ".*?".join(re.escape(" ".join(part.split())) for part in promised.split("…"))
    text = " ".join(printed.split())
    # around a … the spaces of the page are its own
    return re.fullmatch(pattern.replace(r"\ .*?", r"\ ?.*?").replace(r".*?\ ", r".*?\ ?"), text) is not None


class Reader:
    """A reader of the page: a shell in the project's folder, a server in another."""

    def __init__(self, var: Path, changes: Mapping[str, str]) -> None:
        self.port = free_port()
        self.var = var
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in {*OF_SETTINGS, "MAKEFLAGS", "MAKELEVEL"}
        }
        self.environment = {
            **kept,
            "VALHALLA_VAR": str(var),
            "PORT": str(self.port),
            "BASH_ENV": "",
            **changes,
        }
        self.shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=ROOT, env=self.environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.server: subprocess.Popen[bytes] | None = None
        self.log = var / "printed-by-the-server"

    def as_here(self, text: str) -> str:
        """Return a text of the page with this test's port, folder and interpreter."""
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        text = re.sub(r"(?<![\w/.])var/", f"{self.var}/", text)
        return text.replace(".venv/bin/python", sys.executable)

    def run(self, command: str) -> tuple[str, int]:
        """Run a command in the shell and return what it printed, and its exit code."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        mark = f"end-{uuid.uuid4().hex}"
        print(f"{self.as_here(command)}\necho; echo {mark} $?", file=self.shell.stdin, flush=True)
        printed: list[str] = []
        for line in self.shell.stdout:
            if line.startswith(mark):
                return "".join(printed), int(line.split()[1])
            printed.append(line)
        raise AssertionError(f"the shell ended at {command}:\n{''.join(printed)}")

    def start(self, command: str, promised: str) -> str:
        """Start the server as in a terminal of its own and return what it printed until it was up."""
        # what the page exported before goes along
        self.run(f"export > {self.var}/exported")
        with self.log.open("wb") as output:
            self.server = subprocess.Popen(
                ["bash", "-c", f". {self.var}/exported; exec {command}"],
                cwd=ROOT,
                env=self.environment,
                process_group=0,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + SECONDS
        while self.server.poll() is None and time.monotonic() < until:
            if agrees(promised, self.log.read_text()):
                break
            time.sleep(0.2)
        return self.log.read_text()

    def press_ctrl_c(self) -> None:
        if self.server is not None and self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGINT)
            self.server.wait(120)

    def end(self) -> None:
        self.press_ctrl_c()
        self.shell.kill()
        self.shell.wait()
        for pipe in (self.shell.stdin, self.shell.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def reader(tmp_path: Path, installed: Path) -> Iterator[Reader]:
    """A reader whose database is migrated already: a start from empty is test_tooling_start.py's."""
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    found = Reader(tmp_path, {"DATABASE_URL": f"sqlite:///{tmp_path / 'own.sqlite3'}"})
    yield found
    found.end()


def read(reader: Reader, *pages: str) -> None:
    """Do what the pages say."""
    for page in pages:
        steps = steps_of(page)
        assert steps, f"{page} has no commands"
        for step in steps:
            where = f"{page}:{step.line}: {step.command}"
            promised = reader.as_here(step.answer)
            if STARTS.match(step.command):
                reader.press_ctrl_c()
                printed = reader.start(step.command, promised)
                code = 0
            else:
                printed, code = reader.run(step.command)
            assert agrees(promised, printed), f"{where}\npromised: {promised}\nprinted: {printed}"
            assert promised or code == 0, f"{where}\nended with {code}: {printed}"


@pytest.mark.once
def test_the_first_day_goes_as_the_pages_say(reader: Reader) -> None:
    read(reader, "quick-start.md", "guide.md", "routine.md", "integrations.md")


@pytest.mark.postgres  # as the pages have it
def test_a_deployment_goes_as_the_pages_say(tmp_path: Path, migrated_url: str) -> None:
    var = tmp_path / "var"
    var.mkdir()
    settings = {
        "ENV": "production",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_URL": migrated_url,
        "SECRET_KEY": "only-for-a-test-" * 5,
        "CONTACT_HASH_KEY": os.environ["CONTACT_HASH_KEY"],  # the one that this database was migrated with
        "DJANGO_SUPERUSER_PASSWORD": "correct horse battery staple",
    }
    (var / "second_factor_key").write_text(os.environ["SECOND_FACTOR_KEY"])  # likewise
    (var / "second_factor_key").chmod(0o600)
    reader = Reader(var, settings)
    try:
        read(reader, "deployment.md", "rollback.md")
    finally:
        reader.end()


@pytest.mark.once
def test_the_nightly_backup_can_read_its_settings_as_the_user_it_names(
    tmp_path: Path, migrated_url: str
) -> None:
    page = (DOCS / "deployment.md").read_text()
    made = re.search(r"install -m ([0-7]+) -o (\w+) -g (\w+) \S+ (\S+)", page)
    line = re.search(r"^15 7 \* \* \* (\w+) cd (\S+) (.*)$", page, re.MULTILINE)
    assert made is not None
    assert line is not None
    mode, owner, group, file = made.groups()
    assert (int(mode, 8), owner, group) == (0o640, "root", line[1])
    assert f". {file} " in line[3]

    own = tmp_path / "valhalla.env"
    key = os.environ["CONTACT_HASH_KEY"]
    own.write_text(f"DATABASE_URL={migrated_url}\nVALHALLA_VAR={tmp_path}\nCONTACT_HASH_KEY={key}\n")
    own.chmod(0o640)
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}  # as cron has it
    command = line[3].replace(file, str(own)).replace(".venv/bin/python", sys.executable)
    done = subprocess.run(["sh", "-c", f"cd {ROOT} {command}"], env=bare, capture_output=True, text=True)
    assert "rows read back" in done.stdout, done.stderr


@pytest.mark.once
def test_an_answer_that_differs_from_the_page_is_noticed() -> None:
    assert agrees('{"ok":true,…}', '{"ok":true,"reason":"within_window"}')
    assert not agrees('{"ok":true,…}', '{"ok":false,"reason":"suppressed"}')
    assert agrees("…\nup at …\n…", "one\ntwo\nup at eight\n")
    assert not agrees("0", "1")


@pytest.mark.once
def test_every_command_of_the_pages_is_run_by_a_test() -> None:
    """A page with commands that no reader reads would be a page that nobody noticed was wrong."""
    read_by_tests = set(re.findall(r'"([\w-]+\.md)"', Path(__file__).read_text()))
    with_commands = {page.name for page in DOCS.glob("*.md") if "```console" in page.read_text()}
    assert with_commands <= read_by_tests


@pytest.mark.once
def test_every_file_that_the_architecture_names_exists() -> None:
    page = (DOCS / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/.-]+\.(?:py|md))`", page)) - {"apps.py"}
    assert len(named) > 25
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
