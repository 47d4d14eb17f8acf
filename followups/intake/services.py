"""Importing leads from spreadsheets: create or update them by their external id, and start ladders."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from followups.fields import FIELD_OF_KIND, FILE_VALUES, POINTS
from followups.intake.gathering import Gathered, Gathering, Given, split_notes
from followups.intake.reader import IgnoredRow, LeadRow, RefusedRow, Sheet, count_lines, read_leads
from followups.intake.report import ALREADY_ACTIVE, HAD_LADDER, Counts, Difference, NoReport, Report
from followups.intake.rules import CITY_LENGTH, problem
from followups.models import ContactPoint, FollowUpTask, Lead
from followups.points import read_value
from followups.rules.lead_gate import LeadGate
from followups.rules.new_ladder import Decided
from followups.services.candidates import Points, candidates_of, points_of
from followups.services.ladders import (
    CREATE_LADDER,
    NewLadder,
    Templates,
    active_ladders,
    begin_all,
    followed_up_before,
    gates_of,
    require_allowed,
    require_owner,
)
from followups.services.leads import add_points, save_changed, take_over, take_tasks_along
from followups.services.locks import lock_leads
from followups.services.rekeying import take_stored_digests
from followups.services.waiting import rejudge
from governance.accounts.services import DEFAULT_ZONE
from governance.contact import digests
from governance.contact.reasons import sentence
from governance.core.actors import Actor
from governance.core.compiled import CompiledQuery, Listed, forget_plans, insert_rows, row_like
from governance.core.errors import Refused
from governance.core.places import ALL, Place, fold, fold_city
from governance.core.verbs import Execution, needs_right, require_right, verb
from governance.golive.services import require
from governance.market.names import spellings

T = TypeVar("T")

IMPORT = "followups.import_leads"
# The size of one transaction: on SQLite it holds the write lock, for which a switch must not wait longer than
# half a second.
BATCH = 100
LADDERS_AT_ONCE = 100
READ_AT_ONCE = 200  # if nothing is written
WITH_TASKS_AT_ONCE = 5  # known leads whose open tasks are rescheduled
CITY_KEY_LENGTH = 200  # in some scripts a letter becomes three characters without its accents

TAKEN_OVER = ("province", "market", "zone", "extra", *FILE_VALUES)


class Bar(Protocol):
    """A progress bar such as tqdm."""

    def update(self, n: int) -> object: ...


class _NoBar:
    def update(self, n: int) -> None: ...


Progress = Callable[[str, int], AbstractContextManager[Bar]]


def no_progress(what: str, total: int) -> AbstractContextManager[Bar]:
    return nullcontext(_NoBar())


@dataclasses.dataclass(frozen=True, slots=True)
class Import:
    """One run over one file, as `by` at the instant `at`."""

    by: Actor
    at: datetime
    counts: Counts
    report: Report
    progress: Progress
    names: dict[tuple[str, str], str] = dataclasses.field(
        default_factory=dict
    )  # of markets, by province and key
    decided: Decided = dataclasses.field(default_factory=Decided)


@needs_right(IMPORT)
def import_leads(
    source: Path | Sheet,
    *,
    by: Actor,
    at: datetime,
    report: Report | None = None,
    ladders: bool = False,
    owner: str = "",
    dry_run: bool = False,
    progress: Progress = no_progress,
    say: Callable[[Sequence[str]], None] = lambda lines: None,
    counts: Counts | None = None,
) -> Counts:
    """Import a file's leads and, on request, start their ladders for `owner`; return the counts.

    `say` gets the counts of the leads, and with `ladders` the count per reason of those that start none,
    before the first ladder starts; given `counts` are added to, so that they survive a refusal. A dry run
    reads and compares, and writes only the report. Each batch is a transaction: an interrupted run can be
    repeated and ends the same.

    Raises UnreadableFile before anything is stored; Forbidden without the permission; Unavailable before the
    first ladder while production actions are off (the leads stay).
    """
    if ladders:
        require_right(by, CREATE_LADDER)
        require_owner(owner, by)
    with report or NoReport() as told, Gathering() as gathering:
        run = Import(by, at, Counts() if counts is None else counts, told, progress)
        _gather(run, source, gathering)
        _store_all(run, gathering, dry_run=dry_run)
        say(run.counts.lines())
        if ladders and not dry_run:
            _judge_all(run, gathering)
            say(run.counts.ladder_lines())
            require(Execution.PROD_EXEC)
            _start_all(run, gathering, owner)
    return run.counts


# --- rows -> leads of the file ------------------------------------------------------------------------------


def _gather(run: Import, source: Path | Sheet, gathering: Gathering) -> None:
    """Read the file once and collect its leads; report every cell and row that is not stored as written."""
    today = run.at.astimezone(ZoneInfo(DEFAULT_ZONE)).date()
    if isinstance(source, Sheet):
        rows, size = source.read(today=today), len(source)
    else:
        rows, size = read_leads(source, today=today), count_lines(source)
    counts = run.counts
    with run.progress(_("Reading"), size) as bar:
        line = 0
        for row in rows:
            counts.rows += 1
            if isinstance(row, LeadRow):
                _gather_row(run, row, gathering)
            else:
                counts.refused += isinstance(row, RefusedRow)
                counts.ignored += isinstance(row, IgnoredRow)
                run.report.unused(row)
            bar.update(row.line - line)
            line = row.line


def _gather_row(run: Import, row: LeadRow, gathering: Gathering) -> None:
    problems = list(row.problems)
    points = []
    for field in POINTS:
        text = getattr(row, field.name)
        if not text:
            continue
        try:
            points.append((field.point, read_value(field.point, text)))
        except ValidationError:  # validated as a contact point, not only by the spreadsheet's rules
            problems.append(problem(field.name, f"{field.name}_unreadable", text))
    city, market = row.city, row.market
    if len(fold_city(city)) > CITY_KEY_LENGTH:
        problems.append(problem("city", "too_long", city, CITY_LENGTH))
        city, market = "", ALL
    notes, extensions = split_notes(row.notes)
    values = {name: getattr(row, name) for name in FILE_VALUES} | {"city": city, "notes": notes}
    given = Given(
        external_id=row.external_id,
        province=row.province,
        market=market,
        extensions=extensions,
        points=tuple(points),
        extra=row.extra,
        **values,
    )
    for found in problems:
        run.counts.left_empty += found.effect == "left_empty"
        run.counts.kept += found.effect == "kept"
        run.report.problem(row.line, row.external_id, found)
    before, new = gathering.add(row.line, given)
    if before:
        run.counts.repeated += 1
        run.counts.repeated_changed += new
        run.report.add(
            row.line,
            row.external_id,
            "external_id",
            row.external_id,
            "repeated",
            _("The lead is also on line %(before)s; where the two differ, this later line counts.")
            % {"before": before},
        )


# --- leads of the file -> the database ----------------------------------------------------------------------


def _replanned(batches: Iterable[T]) -> Iterator[T]:
    """Yield batches; after 1, 2, 4, 8 and so on, what they write has outgrown PostgreSQL's plans."""
    for number, batch in enumerate(batches):
        if number and number & (number - 1) == 0:
            forget_plans()
        yield batch


@dataclasses.dataclass(slots=True)
class _Stored:
    """The results for the first `taken` leads of a batch; `moved` holds lead, line and former province."""

    counts: Counter[str]
    moved: list[tuple[Lead, int, str]]
    keys: list[tuple[int, int]]
    taken: int = 0


def _store_all(run: Import, gathering: Gathering, *, dry_run: bool) -> None:
    with run.progress(_("Storing"), len(gathering)) as bar:
        for batch in _replanned(gathering.batches(READ_AT_ONCE if dry_run else BATCH)):
            while batch:
                stored = _compare(batch, run) if dry_run else store_leads(batch, run)
                gathering.remember(stored.keys)
                _count_stored(run, stored)
                bar.update(stored.taken)
                batch = batch[stored.taken :]


def _count_stored(run: Import, stored: _Stored) -> None:
    for name in ("created", "updated", "unchanged"):
        setattr(run.counts, name, getattr(run.counts, name) + stored.counts[name])
    run.counts.moved += len(stored.moved)
    for lead, line, before in stored.moved:
        run.report.add(
            line,
            lead.external_id,
            "province",
            lead.province,
            "moved",
            _("The lead was in %(before)s and is in %(now)s now; their open tasks moved too.")
            % {"before": before, "now": lead.province},
        )


@verb(Execution.OBSERVE_ONLY)
def store_leads(batch: Sequence[Gathered], run: Import) -> _Stored:
    """Create or update the leads of a batch by their external id; unchanged ones are not written.

    A value replaces the lead's, a blank one does not; contact points are added, never removed, and no
    suppression ends. If a lead moved, their open tasks move with them. After 8 leads whose open tasks are
    rescheduled the rest of the batch is left for the next call.
    """
    try:
        with transaction.atomic():
            return _store(batch, run)
    except IntegrityError:  # somebody created one of them at the same moment
        return _store(batch, run)


@CompiledQuery
def _known_leads() -> QuerySet[Lead]:
    return Lead.objects.filter(external_id__any_of=Listed("ids")).order_by("pk")


@CompiledQuery
def _known_leads_locked() -> QuerySet[Lead]:
    return Lead.objects.filter(external_id__any_of=Listed("ids")).order_by("pk").select_for_update()


def _known(batch: Sequence[Gathered], *, lock: bool) -> tuple[dict[str, Lead], Points]:
    find = _known_leads_locked if lock else _known_leads
    leads = {lead.external_id: lead for lead in find(ids=[gathered.given.external_id for gathered in batch])}
    return leads, points_of([lead.pk for lead in leads.values()])


def _store(batch: Sequence[Gathered], run: Import) -> _Stored:
    stored = _Stored(Counter(), [], [])
    known, points = _known(batch, lock=True)
    _name_markets(batch, run, keep=True)
    fresh: list[tuple[Lead, Gathered]] = []
    replaced: list[int] = []
    renamed: list[int] = []
    with_tasks: set[int] | None = None
    blank = Lead(created_at=run.at, updated_at=run.at, **run.by.written())
    for gathered in batch:
        judged = {*replaced, *renamed}
        if len(judged) >= WITH_TASKS_AT_ONCE:
            if with_tasks is None:
                with_tasks = _with_open_tasks(known.values())
            if len(judged & with_tasks) >= WITH_TASKS_AT_ONCE:
                break
        stored.taken += 1
        lead = known.get(gathered.given.external_id)
        if lead is None:
            fresh.append((_new_lead(blank, gathered.given, run), gathered))
            continue
        stored.keys.append((lead.pk, gathered.place))
        before = lead.place, lead.city_key
        left = lead.province
        changed = take_over(lead, gathered.given, _market_of(gathered.given, run))
        there = {(point.kind, point.value) for point in points.get(lead.pk, ())}
        added = [point for point in gathered.given.points if point not in there]
        stored.counts["updated" if changed or added else "unchanged"] += 1
        if changed or added:
            save_changed(lead, changed, by=run.by, at=run.at)
            add_points(lead, added, list(points.get(lead.pk, ())))
        if lead.province != left:
            stored.moved.append((lead, gathered.line, left))
        if "name" in changed or added:
            renamed.append(lead.pk)
        if (lead.place, lead.city_key) != before:
            replaced.append(lead.pk)
    insert_rows([lead for lead, _gathered in fresh])
    point = ContactPoint()
    points_added = [
        row_like(
            point, lead_id=lead.pk, kind=kind, value=value, digest=digests.digest(kind, value), order=order
        )
        for lead, gathered in fresh
        for order, (kind, value) in enumerate(gathered.given.points)
    ]
    take_stored_digests(points_added)
    insert_rows(points_added)
    stored.keys += [(lead.pk, gathered.place) for lead, gathered in fresh]
    stored.counts["created"] += len(fresh)
    take_tasks_along(replaced, by=run.by, at=run.at)
    if renamed:
        rejudge(renamed, by=run.by, at=run.at)
    return stored


def _name_markets(batch: Sequence[Gathered], run: Import, *, keep: bool) -> None:
    """Look up the spelling of the batch's markets, so that each has one spelling."""
    places = [Place(gathered.given.province, gathered.given.market) for gathered in batch]
    fresh = [place for place in places if keep or (place.province, place.market_key) not in run.names]
    run.names.update(spellings(fresh, keep=keep))


def _market_of(given: Given, run: Import) -> str:
    return run.names.get((given.province, fold(given.market)), given.market)


def _with_open_tasks(leads: Iterable[Lead]) -> set[int]:
    tasks = FollowUpTask.objects.filter(
        lead__in=[lead.pk for lead in leads], status=FollowUpTask.Status.OPEN
    ).order_by()
    return set(tasks.values_list("lead_id", flat=True))


def _new_lead(blank: Lead, given: Given, run: Import) -> Lead:
    lead = row_like(blank, external_id=given.external_id, province=given.province, extra={})
    take_over(lead, given, _market_of(given, run))
    lead.market_key = fold(lead.market)
    lead.fold_keys()
    return lead


def _compare(batch: Sequence[Gathered], run: Import) -> _Stored:
    """Count what storing a batch would do, without storing it."""
    stored = _Stored(Counter(), [], [], taken=len(batch))
    known, points = _known(batch, lock=False)
    _name_markets(batch, run, keep=False)
    for gathered in batch:
        given = gathered.given
        lead = known.get(given.external_id)
        if lead is None:
            stored.counts["created"] += 1
            run.report.created(gathered.line, given)
            continue
        left = lead.province
        there = {(point.kind, point.value) for point in points.get(lead.pk, ())}
        before = {name: getattr(lead, name) for name in TAKEN_OVER}
        changed = take_over(lead, given, _market_of(given, run))
        added = [point for point in given.points if point not in there]
        stored.counts["updated" if changed or added else "unchanged"] += 1
        if changed or added:
            run.report.changed(gathered.line, lead.external_id, _differences(lead, before, changed, added))
        if lead.province != left:
            stored.moved.append((lead, gathered.line, left))
    return stored


def _differences(
    lead: Lead, before: Mapping[str, Any], changed: Sequence[str], added: Sequence[tuple[str, str]]
) -> list[Difference]:
    found: list[Difference] = []
    for name in changed:
        old, new = before[name], getattr(lead, name)
        if name == "extra":
            found += [(key, old.get(key, ""), value) for key, value in new.items() if old.get(key) != value]
        else:
            found.append((name, "" if old is None else str(old), "" if new is None else str(new)))
    return [*found, *((FIELD_OF_KIND[kind], "", value) for kind, value in added)]


# --- ladders ------------------------------------------------------------------------------------------------


def _judge_all(run: Import, gathering: Gathering) -> None:
    """Find who starts no ladder and why, count it and report it."""
    with run.progress(_("Checking the contact gate"), len(gathering)) as bar:
        for batch in gathering.stored(READ_AT_ONCE):
            lines = dict(batch)
            candidates, book = candidates_of([pk for pk, _line in batch], run.at)
            busy = _busy([candidate.lead for candidate in candidates])
            templates = Templates([one.lead for one in candidates])
            gates = gates_of(candidates, book, run.at)
            refusals = []
            for candidate in candidates:
                pk = candidate.lead.pk
                reason, said = busy.get(pk) or _refusal(gates[pk], candidate.lead, templates, run)
                if reason:
                    refusals.append((reason, pk))
                    _report_no_ladder(run, candidate.lead, lines[pk], reason, said)
            gathering.refuse(refusals)
            bar.update(len(batch))


def _busy(leads: Sequence[Lead]) -> dict[int, tuple[str, str]]:
    """Return the leads who start no ladder: one is active, or they were followed up before."""
    active, before = active_ladders(leads), followed_up_before(leads)
    had = HAD_LADDER, _("Followed up before; start a new ladder by hand.")
    running = ALREADY_ACTIVE, _("The lead already has an active ladder.")
    return {**dict.fromkeys(before, had), **dict.fromkeys(active, running)}


def _refusal(gate: LeadGate, lead: Lead, templates: Templates, run: Import) -> tuple[str, str]:
    """Return why the gate's checks 1 to 5, or the template, refuse a ladder; blank if they do not."""
    try:
        require_allowed(gate, templates.steps(templates.of(lead)), run.decided)
    except Refused as refusal:
        return _reason_of(refusal)
    return "", ""


def _reason_of(refusal: Refused) -> tuple[str, str]:
    if refusal.code == "ladder_active":
        return ALREADY_ACTIVE, str(refusal.message)
    reason = str(refusal.extra.get("reason") or refusal.code)
    return reason, sentence(reason) if "reason" in refusal.extra else str(refusal.message)


def _report_no_ladder(run: Import, lead: Lead, line: int, reason: str, said: str) -> None:
    run.counts.no_ladder[reason] += 1
    run.report.add(line, lead.external_id, "ladder", reason, "no_ladder", said)


def _start_all(run: Import, gathering: Gathering, owner: str) -> None:
    waiting = run.counts.leads - run.counts.no_ladder.total()
    with run.progress(_("Starting ladders"), waiting) as bar:
        for batch in _replanned(gathering.stored(LADDERS_AT_ONCE, unrefused=True)):
            started, waits, refused = start_ladders(batch, run, owner)
            run.counts.ladders += started
            run.counts.waiting += waits
            for lead, line, refusal in refused:  # what changed since the gate was asked
                _report_no_ladder(run, lead, line, *_reason_of(refusal))
            bar.update(len(batch))


@verb(Execution.PROD_EXEC)
def start_ladders(
    batch: Sequence[tuple[int, int]], run: Import, owner: str
) -> tuple[int, int, list[tuple[Lead, int, Refused]]]:
    """Start the ladder of each lead of a batch of (primary key, line) for `owner`, each with its KPI event.

    Returns how many started, how many of them wait for another lead of the same person, and who was refused,
    on which line and why.
    """
    lines = dict(batch)
    lock_leads(lines)
    candidates, book = candidates_of([pk for pk, _line in batch], run.at)
    made = begin_all(candidates, book, by=run.by, at=run.at, owner=owner, decided=run.decided)
    begun = [one for one in made if isinstance(one, NewLadder)]
    refused = [
        (candidate.lead, lines[candidate.lead.pk], one)
        for candidate, one in zip(candidates, made, strict=True)
        if isinstance(one, Refused)
    ]
    return len(begun), sum(one.behind is not None for one in begun), refused
