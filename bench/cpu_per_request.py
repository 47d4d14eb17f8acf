"""Says what a request to each endpoint costs in CPU: in Python, and in the database's process beside it.

    DATABASE_URL=postgresql://… .venv/bin/python -m bench.cpu_per_request TOKEN [PART OF A PATH]

CPU time, not the time on the wall, so that a busy machine disturbs little; still, compare figures of one run.
Requests come through the whole of Django without a web server, which adds about half a millisecond. It
writes: use a database for throwing away, filled by `bench.volume.fill`, and the token of a program that may
edit policies (`manage.py issue_token --help`), with as many calls a minute as the run needs.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import sys
import time
import uuid
from statistics import median
from typing import Any

from django.db import connection

ROUNDS, REQUESTS = 5, 20
PROVINCES = ("BC", "AB", "SK", "MB", "ON", "QC", "NB", "NS", "PE", "NL", "YT", "NT", "NU")
RUN = uuid.uuid4().hex[:8]
LADDER = "POST /followups/ladder/create?lead_id={run}-{n}&province={province}"
ENDPOINTS = (
    "GET /governance/market/policies",
    "POST /governance/market/policies/upsert?province={province}&market=ALL&reason={run}",
    "GET /governance/market/effective?province={province}",
    "GET /governance/market/can-contact?province={province}&channel=SMS&weekday=1&hhmm=12:30",
    LADDER,
    "GET /followups/due",
    "POST /followups/task/{task}/complete",
    "GET /followups/sla",
    "GET /buyers/liquidity/nodes",
    "GET /buyers/liquidity/score?province={province}",
    "POST /buyers/liquidity/feedback?province={province}&event=RESPONDED&buyer_id={run}-{n}",
    "GET /deals/offers/policies",
    "POST /deals/offers/policies/upsert?province={province}&market=ALL&enabled=true&max_arv_multiplier=0.7",
    "POST /deals/offers/compute?province={province}&arv=450000&repairs=50000",
)


def ask(application: Any, token: str, line: str) -> dict[str, Any]:
    """Send one request and return its answer; anything but success ends the run."""
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": f"/api{path}", "QUERY_STRING": query, "CONTENT_LENGTH": "0",
        "HTTP_AUTHORIZATION": f"Bearer {token}", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
    }  # fmt: skip
    status: list[str] = []
    response = application(environ, lambda given, headers: status.append(given))
    text = b"".join(response)
    response.close()
    if not status[0].startswith("2"):
        sys.exit(f"{line}: {status[0]}\n{text[:500].decode()}")
    return json.loads(text)


def database_cpu() -> float:
    """Return the CPU seconds of the server's process for this connection; 0 if it is on another machine."""
    try:
        with open(f"/proc/{connection.connection.info.backend_pid}/stat") as told:
            user, system = told.read().rpartition(")")[2].split()[11:13]
    except (AttributeError, OSError):
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main(token: str, part: str = "") -> None:
    from valhalla.wsgi import application

    numbers = itertools.count()

    def send(template: str, task: int = 0) -> dict[str, Any]:
        n = next(numbers)
        place = PROVINCES[n % len(PROVINCES)]
        return ask(application, token, template.format(run=RUN, n=n, province=place, task=task))

    print(f"{'ms of CPU per request':<48}{'Python':>8}{'database':>10}")
    for template in ENDPOINTS:
        if part not in template:
            continue
        tasks = [0] * (REQUESTS * (ROUNDS + 1))
        if "{task}" in template:
            tasks = [send(LADDER)["tasks"][0]["id"] for _ in tasks]
        for _ in range(REQUESTS):
            send(template, tasks.pop())
        before, spent = database_cpu(), []
        for _ in range(ROUNDS):
            start = time.process_time()
            for _ in range(REQUESTS):
                send(template, tasks.pop())
            spent.append((time.process_time() - start) * 1000 / REQUESTS)
        database = (database_cpu() - before) * 1000 / REQUESTS / ROUNDS
        print(f"{template.partition('?')[0]:<48}{median(spent):>8.2f}{database:>10.2f}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valhalla.settings")
    main(*sys.argv[1:])
