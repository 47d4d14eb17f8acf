"""`manage.py serve` whose job processes know seconds for minutes (quick.py), for tests that kill processes.

With the argument `careless` its web server is the one of careless_wsgi.py.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import django
from django.core.management import call_command

django.setup()

from valhalla import running  # noqa: E402  # what it asks of the database needs Django's start
from valhalla.supervision import Program  # noqa: E402  # as above

OTHERS = {"valhalla": "valhalla.tests.quick"}


def programs(only: str = "") -> list[Program]:
    return [
        replace(program, command=[OTHERS.get(word, word) for word in program.command])
        for program in _programs(only)
    ]


_programs, running.programs = running.programs, programs

if __name__ == "__main__":
    if "careless" in sys.argv[1:]:
        OTHERS["valhalla.wsgi:application"] = "valhalla.tests.careless_wsgi:application"
    call_command("serve")
