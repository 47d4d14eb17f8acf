"""Erasing a person: find their records, preview the effects, and erase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.contact import digests
from governance.contact.models import Consent, ContactDecision, Suppression
from governance.contact.services import suppress
from governance.core.actors import Actor
from governance.core.compiled import update_rows
from governance.core.errors import Invalid, NotFound, Refused
from governance.core.verbs import Execution, needs_right, verb
from governance.outbox.models import IdempotentAnswer, OutboxMessage
from governance.retention import database, registry
from governance.retention.models import Erasure
from governance.retention.reasons import Why
from governance.retention.registry import Person, Retained, Trace, Who, mentioned
from governance.retention.rules import ERASED, Words

ERASE = "governance.erase_person"
NOT_ERASING = gettext_lazy("Only a manager erases a person.")
MOST_FOUND = 20


@dataclass(frozen=True, slots=True)
class Preview:
    """The effects of an erasure: rows by kind that are deleted or stay, and who shares the numbers."""

    person: Person
    goes: tuple[tuple[str, int], ...]
    stays: tuple[tuple[str, int], ...]
    sharing: tuple[str, ...]
    telling_reference: bool  # the person's id in other systems is itself a name, number or address


def find_people(
    *, lead_id: str = "", buyer_id: str = "", phone: str = "", email: str = ""
) -> list[tuple[str, int]]:
    """Return (kind, id) of a person's records, found by one id, number or address.

    Raises Invalid unless exactly one is given and can be read, NotFound if nobody matches, Refused `too_many`
    for more than 20.
    """
    given = {
        name: text.strip()
        for name, text in {"lead_id": lead_id, "buyer_id": buyer_id, "phone": phone, "email": email}.items()
        if text.strip()
    }
    if len(given) != 1:
        raise Invalid({"who": [_("Name a lead id, a buyer id, a phone number or an e-mail address.")]})
    ((name, text),) = given.items()
    try:
        read = {"phone": digests.read_phone, "email": digests.read_email}.get(name, str)(text)
    except ValidationError as wrong:
        raise Invalid({name: wrong.messages}) from wrong
    who = Who(**{name: read})
    found = [(keeper.kind, pk) for keeper in registry.keepers() for pk in keeper.find(who)]
    if not found:
        raise NotFound(
            _("There is no such person here; their personal information may already be deleted."),
            code="person_not_found",
        )
    if len(found) > MOST_FOUND:
        raise Refused(
            "too_many",
            _("%(count)s records have this number or address; erase them one by one.")
            % {"count": len(found)},
        )
    return found


@needs_right(ERASE, refusal=NOT_ERASING)
def preview(kind: str, record_id: int, *, by: Actor) -> Preview:
    """Return what erasing a record would do. Raises Forbidden without the permission, NotFound."""
    person = registry.keeper_of(kind).read(record_id)
    if person is None:
        raise _unknown()
    goes: Counter[str] = Counter()
    for trace in (*registry.traces_of(person), *_general_traces(person)):
        goes[str(trace.what)] += trace.count()
    for rows, columns in _rows_with_words(person):
        goes[str(rows.model._meta.verbose_name_plural)] += rows.filter(_some(columns)).count()
    stays = [(str(stay.what), stay.count) for stay in (*registry.stays_of(person), *_general_stays(person))]
    return Preview(
        person,
        tuple((what, count) for what, count in goes.items() if count),
        tuple((what, count) for what, count in stays if count),
        tuple(name for keeper in registry.keepers() for name in keeper.sharing(person)),
        person.words.occur_in(person.reference),
    )


def _unknown() -> NotFound:
    return NotFound(
        _("There is no such person here; their personal information may already be deleted."),
        code="person_not_found",
    )


@verb(Execution.OBSERVE_ONLY, right=ERASE, refusal=NOT_ERASING)
def erase_person(kind: str, record_id: int, *, why: str, by: Actor, at: datetime) -> Erasure:
    """Erase a record and everything that names its person, and return the row that records it.

    Everything in progress for the person stops. Evidence and decisions stay, since they hold only ids and
    keyed hashes; so do suppressions and consents, without their texts. If the person asked for it, their
    numbers and addresses are added to our own do-not-contact list, so that the next bought list does not
    start over. It is one transaction.

    Raises Forbidden without the permission, Invalid for an unknown `why`, NotFound `person_not_found` for a
    record that is unknown or already erased.
    """
    if why not in Why.values:
        raise Invalid({"why": [_("Say why: one of %(known)s.") % {"known": ", ".join(Why.values)}]})
    keeper = registry.keeper_of(kind)
    keeper.lock([record_id])
    person = keeper.read(record_id)
    if person is None:
        raise _unknown()
    if why == Why.REQUESTED and person.reached:
        suppress(person.reached, by=by, at=at, source=Suppression.Source.INTERNAL_LIST, others=person.points)
    # first, so that whoever has locked one of the person's tasks has written what is searched next
    keeper.stop(person, by=by, at=at)
    database.overwrite_what_goes(connection)
    counts: Counter[str] = Counter()
    for rows, columns in _rows_with_words(person):
        counts[rows.model._meta.db_table] += rows.filter(_some(columns)).count()
    for trace in (*registry.traces_of(person), *_general_traces(person)):
        counts[trace.table] += trace.erase()
    erasure = Erasure(
        kind=kind,
        record_id=record_id,
        why=why,
        points=sorted(person.points),
        at=at,
        counts={table: count for table, count in sorted(counts.items()) if count},
        **by.written(),
    )
    erasure.save()  # PostgreSQL blanks those texts itself
    if connection.vendor != "postgresql":
        database.erase_words_by_hand(connection, person.points)
    keeper.erase(person, erasure, by=by)
    return erasure


def erased_points(erasure_id: int) -> list[str]:
    """Return the keyed hashes of an erased person's numbers and addresses."""
    points: list[str] = Erasure.objects.values_list("points", flat=True).get(pk=erasure_id)
    return points


def asked_to_be_erased(points: Collection[str]) -> frozenset[str]:
    """Return those of these keyed hashes whose person asked to be erased and is still suppressed since then.

    One query, and a second one if a hash is on our own do-not-contact list.
    """
    rows = Suppression.objects.filter(point_digest__in=points, channel="", press=None).order_by("at", "pk")
    calls: dict[str, str] = {}
    for digest, action, source, call in rows.values_list(
        "point_digest", "action", "source", "correlation_id"
    ):
        if action == Suppression.Action.LIFT:
            calls.pop(digest, None)
        elif source == Suppression.Source.INTERNAL_LIST:
            calls[digest] = call
    if not calls:
        return frozenset()
    # the call that erased is the one that suppressed; the instants differ where the database sets one
    erasures = Erasure.objects.filter(why=Why.REQUESTED, correlation_id__in=set(calls.values()))
    erased = {point for points in erasures.values_list("points", flat=True) for point in points}
    return frozenset(erased & calls.keys())


# --- traces of a person in governance's own tables ----------------------------------------------------------


def _rows_with_words(
    person: Person,
) -> list[tuple[QuerySet[Suppression] | QuerySet[Consent], tuple[str, ...]]]:
    points = list(person.points)
    return [
        (Suppression.objects.filter(point_digest__in=points), Suppression.words),
        (Consent.objects.filter(point_digest__in=points), Consent.words),
    ]


def _some(columns: Sequence[str]) -> Q:
    some = Q()
    for column in columns:
        some |= ~Q(**{column: ""})
    return some


def _general_traces(person: Person) -> list[Trace]:
    words = person.words
    traces = [_log_entries(person)]
    if words.pattern is not None:
        traces += [_messages(words), _answers(words)]
    return traces


def _log_entries(person: Person) -> Trace:
    """Return the admin log's entries, which name a row by its text and contain the typed numbers."""
    model = registry.keeper_of(person.kind).model
    own = Q(content_type=ContentType.objects.get_for_model(model), object_id=str(person.id))
    return Trace(
        gettext_lazy("entries of the admin’s log"),
        LogEntry.objects.filter(own).exclude(object_repr=ERASED),
        blank={"object_repr": ERASED, "change_message": ""},
    )


def _messages(words: Words) -> Trace:
    """Return messages to the person, and those that name them to somebody else."""

    def naming(rows: QuerySet[OutboxMessage]) -> list[OutboxMessage]:
        return [row for row in rows.iterator() if words.occur_in(row.to, row.subject, row.body)]

    def scrub(rows: QuerySet[OutboxMessage]) -> int:
        found = naming(rows)
        theirs = [row.pk for row in found if words.occur_in(row.to)]
        OutboxMessage.objects.filter(pk__in=theirs).delete()
        others = [row for row in found if row.pk not in set(theirs)]
        for row in others:
            row.subject, row.body = words.struck_from(row.subject)[:200], words.struck_from(row.body)
        update_rows(others, ["subject", "body"])
        return len(found)

    rows = OutboxMessage.objects.filter(mentioned(words, "to", "subject", "body"))
    return Trace(
        gettext_lazy("messages to the person or about them"),
        rows,
        scrub=scrub,
        found=lambda: len(naming(rows)),
    )


def _answers(words: Words) -> Trace:
    """Return answers stored for repeated requests: the claimed tasks name their leads."""

    def naming(rows: QuerySet[IdempotentAnswer]) -> list[int]:
        return [pk for pk, body in rows.values_list("pk", "body").iterator() if words.occur_in(body)]

    def scrub(rows: QuerySet[IdempotentAnswer]) -> int:
        found = naming(rows)
        IdempotentAnswer.objects.filter(pk__in=found).delete()
        return len(found)

    rows = IdempotentAnswer.objects.filter(mentioned(words, "body"))
    return Trace(gettext_lazy("stored answers"), rows, scrub=scrub, found=lambda: len(naming(rows)))


def _general_stays(person: Person) -> list[Retained]:
    points = list(person.points)
    stays = [
        Retained(
            gettext_lazy("suppressions, by keyed hash"),
            Suppression.objects.filter(point_digest__in=points).count(),
        ),
        Retained(
            gettext_lazy("consents, by keyed hash"), Consent.objects.filter(point_digest__in=points).count()
        ),
    ]
    if person.kind == registry.LEAD:
        decisions = ContactDecision.objects.filter(lead_id=person.reference)
        stays.append(
            Retained(gettext_lazy("contact decisions, by lead id and keyed hash"), decisions.count())
        )
    return stays
