"""`make bench`: what each call costs, in ms of CPU and in bare Django views, at several numbers of tasks.

Starts PostgreSQL with fsync in a folder that is kept, fills one database per size, serves the product as it
is deployed, and makes each call in a closed loop, in rounds that alternate with the bare view.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.calls import CALLS, Call, Prepared, Request, page
from bench.machine import Postgres, bare, product
from bench.measure import WARM_UP, Figure, Loop, Measured, Plan, measure, statements_of
from bench.report import worse, write

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "bench" / "baseline.json"
TEN_IN_TORONTO = 15  # UTC, in winter
FLOOR = 200  # requests to the bare view in a round


def offset_to_a_tuesday(now: datetime) -> int:
    """Return the seconds to the next Tuesday at ten in Toronto, when most provinces may be called."""
    then = now.replace(hour=TEN_IN_TORONTO, minute=0, second=0, microsecond=0)
    then += timedelta(days=(1 - now.weekday()) % 7)
    return round((then - now).total_seconds())


def environment(tree: Path, url: str, folder: Path) -> dict[str, str]:
    clock = str(ROOT / ".ci" / "clock")
    return {
        "DATABASE_URL": url,
        "GO_LIVE_ENFORCE": "1",
        "PYTHONPATH": os.pathsep.join([clock, str(tree)]),
        "SECRET_KEY": "only-for-the-bench-" * 4,
        "CONTACT_HASH_KEY": "only-for-the-bench-too-" * 3,
        "SECOND_FACTOR_KEY": "only-for-the-bench-as-well-" * 3,
        "VALHALLA_TEST_OFFSET": str(offset_to_a_tuesday(datetime.now(UTC))),
        "VALHALLA_VAR": str(folder / "var"),
    }


def run(tree: Path, known: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "prepare.py"), *arguments],
        cwd=tree,
        env={**os.environ, **known},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def schema_of(tree: Path) -> str:
    """Return a short name for the tree's tables: trees with the same migrations share filled databases."""
    told = hashlib.sha256()
    for path in sorted(tree.glob("*/migrations/*.py")):
        told.update(path.read_bytes())
    return told.hexdigest()[:10]


def filled(tree: Path, tasks: int, postgres: Postgres, folder: Path) -> str:
    """Return the name of a database with so many tasks, which is kept and only copied."""
    name = f"bench_{tasks}_{schema_of(tree)}"
    if not postgres.has(name):
        print(f"  filling {tasks:,} tasks", flush=True)
        postgres.ask('DROP DATABASE IF EXISTS "filling"')
        postgres.ask('CREATE DATABASE "filling"')
        run(tree, environment(tree, postgres.url("filling"), folder), "fill", str(tasks))
        postgres.ask(f'ALTER DATABASE "filling" RENAME TO "{name}"')
    return name


@contextmanager
def copied(template: str, postgres: Postgres) -> Iterator[str]:
    postgres.ask('DROP DATABASE IF EXISTS "run" WITH (FORCE)')
    postgres.ask(f'CREATE DATABASE "run" TEMPLATE "{template}"')
    yield postgres.url("run")
    postgres.ask('DROP DATABASE IF EXISTS "run" WITH (FORCE)')


def measured(
    tree: Path, tasks: int, postgres: Postgres, folder: Path, asked: argparse.Namespace
) -> dict[str, Any]:
    """Measure all calls at one size."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        url = stack.enter_context(copied(filled(tree, tasks, postgres, folder), postgres))
        known = environment(tree, url, folder)
        ours = stack.enter_context(product(tree, folder, known, asked.processes))
        prepared = Prepared(**json.loads(run(tree, known, "access").splitlines()[-1]))
        floor = stack.enter_context(bare(ROOT, folder, {**known, "PYTHONPATH": str(ROOT)}, asked.processes))
        for call in CALLS:
            if asked.calls and call.name not in asked.calls:
                continue
            one = _measured(call, prepared, ours, floor, postgres, asked)
            found[call.name] = {
                "statements": one.statements,
                "app": one.app,
                "postgres": one.postgres,
                "bare_views": one.in_bare_views,
                "bare_ms": statistics.median(figure.cpu for figure in one.bare),
                "p50": one.p50,
                "p95": one.p95,
                "requests": sum(len(figure.latencies) for figure in one.rounds),
                "latencies": [round(ms, 3) for figure in one.rounds for ms in figure.latencies],
            }
            print(
                f"  {call.name:22} {one.statements:3} statements {one.app:6.2f}+{one.postgres:5.2f} ms "
                f"{one.in_bare_views:6.2f} bare views  p95 {one.p95:.1f} ms",
                flush=True,
            )
        print(f"  a web process takes {ours[0].megabytes():.0f} MB", flush=True)
    return found


def _measured(
    call: Call, prepared: Prepared, ours: Any, floor: Any, postgres: Postgres, asked: argparse.Namespace
) -> Measured:
    plan = Plan(call, prepared, asked.rounds, asked.seconds)

    def request(number: int) -> Request:
        return call.request(prepared, number)

    def of_floor(number: int) -> Request:
        return Request("GET", f"/leads/{1_000_001 + number % 1000}", {})

    def look() -> None:
        if call.looks:
            prepared.see(Loop(ours[1], ()).text(page(prepared)))

    look()
    first, count = plan.take(WARM_UP)
    warm = Loop(ours[1], call.answers).run(request, first, count)
    Loop(floor[1], (200,)).run(of_floor, 0, WARM_UP)
    first, count = plan.take(1)
    statements = statements_of(lambda: Loop(ours[1], call.answers).run(request, first, count), postgres)
    rounds: list[Figure] = []
    floors: list[Figure] = []
    for _round in range(asked.rounds):
        floors.append(measure(of_floor, (200,), first=0, count=FLOOR, web=floor, postgres=postgres))
        look()
        first, count = plan.take(plan.per_round(statistics.median(warm)))
        rounds.append(
            measure(
                request,
                call.answers,
                first=first,
                count=count,
                web=ours,
                postgres=postgres,
                locations=prepared.cards if call.fills else None,
            )
        )
    return Measured(call.name, rounds, floors, statements)


def tree_of(revision: str, folder: Path) -> Path:
    """Return the files of another commit."""
    asked = ["git", "rev-parse", "--short", f"{revision}^{{commit}}"]
    name = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    tree = folder / "trees" / name
    if not tree.exists():
        packed = folder / f"{name}.tar"
        subprocess.run(["git", "archive", "--output", str(packed), name], cwd=ROOT, check=True)
        tree.mkdir(parents=True)
        shutil.unpack_archive(packed, tree)
        packed.unlink()
    return tree


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of tasks")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--seconds", type=float, default=0.8, help="of each call in each round")
    parser.add_argument("--processes", type=int, default=2, help="of the web server")
    parser.add_argument("--calls", nargs="+", default=[], help="only these")
    parser.add_argument("--against", default="", help="another commit, measured in turn with this tree")
    parser.add_argument(
        "--check", action="store_true", help="fail when a call is worse than in baseline.json"
    )
    parser.add_argument(
        "--keep", action="store_true", help="write the smallest size's figures to baseline.json"
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "valhalla-bench")
    asked = parser.parse_args()
    folder: Path = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL, which root starts as another account, has its data in there
    trees = {"this tree": ROOT}
    if asked.against:
        trees = {asked.against: tree_of(asked.against, folder), **trees}
    postgres = Postgres(folder / "postgres")
    postgres.start()
    results: dict[str, dict[int, Any]] = {name: {} for name in trees}
    try:
        for tasks in asked.sizes:
            for name, tree in trees.items():
                print(f"{name}, {tasks:,} tasks", flush=True)
                results[name][tasks] = measured(tree, tasks, postgres, folder, asked)
    finally:
        postgres.stop()
    print(f"The report is {write(folder / 'report', results)}")
    smallest = results["this tree"][min(asked.sizes)]
    short = {
        name: {key: round(one[key], 2) for key in ("statements", "bare_views")}
        for name, one in smallest.items()
    }
    if asked.keep:
        BASELINE.write_text(json.dumps(short, indent=1) + "\n")
    if asked.check:
        problems = worse(short, json.loads(BASELINE.read_text()))
        for problem in problems:
            print(problem)
        return 1 if problems else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
