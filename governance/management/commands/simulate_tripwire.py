"""``manage.py simulate_tripwire``: tries the tripwires' rules on simulated events."""

from __future__ import annotations

import itertools
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.tripwire.simulation import (
    BY_DAY,
    LOOKS,
    Found,
    shortfalls,
    simulate,
    with_drops,
)
from governance.tripwire.statistics import STATISTICS, Measure
from governance.tripwire.streams import Stream


class Command(BaseCommand):
    help = (
        "Run the tripwires' rules on simulated streams and print how often they fire with no change "
        f"(within {LOOKS} daily evaluations) and on which day they detect a drop, with 95% intervals. The "
        "same seed prints the same table. Neither reads nor changes the database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--runs", type=int, default=400, help="streams of each kind (400)")
        parser.add_argument("--seed", type=int, default=1, help="seed of the random numbers (1)")
        parser.add_argument(
            "--measure", choices=[measure.value for measure in Measure], help="only this measure"
        )
        parser.add_argument(
            "--no-drops", action="store_true", help="only false alarms, in a third of the time"
        )

    def handle(self, *args: object, **options: Any) -> None:
        if options["runs"] < 1:
            raise CommandError("--runs must be 1 or more.")
        wanted = [Measure(options["measure"])] if options["measure"] else list(Measure)
        found = []
        for measure in wanted:
            self.stdout.write(
                f"\n{measure.value}, by {STATISTICS[measure].noise}, {options['runs']} runs each"
            )
            self.stdout.write(
                f"{'noise':>5} {'rate':>5} {'a day':>5} {'drop':>5}  {f'by day {BY_DAY}':>20}  "
                f"{f'by day {LOOKS}':>20}  half by day (10 % to 90 %)"
            )
            for stream in self._streams(measure, drops=not options["no_drops"]):
                found.append(simulate(stream, options["runs"], seed=options["seed"]))
                self.stdout.write(_line(found[-1]))
                self.stdout.flush()
        missed = shortfalls(found)
        self.stdout.write("")
        for sentence in missed or ["Every goal was reached."]:
            self.stdout.write(sentence)
        if missed:
            raise CommandError("The rules miss their targets.")

    def _streams(self, measure: Measure, *, drops: bool) -> list[Stream]:
        changed = (with_drops(stream) for stream in STATISTICS[measure].streams())
        return [stream for stream in itertools.chain.from_iterable(changed) if drops or not stream.drop]


def _line(found: Found) -> str:
    stream = found.stream
    days = [found.day_of(part) for part in (0.5, 0.1, 0.9)]
    half, early, late = ("–" if day is None else str(day) for day in days)
    return (
        f"{stream.noise:>5} {stream.rate or '':>5} {stream.events:>5} {_percent(stream.drop):>5}  "
        f"{_share(found, BY_DAY):>20}  {_share(found, found.looks):>20}  {half} ({early} to {late})"
    )


def _share(found: Found, by_day: int) -> str:
    low, high = found.interval(by_day)
    return f"{100 * found.share(by_day):.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"
