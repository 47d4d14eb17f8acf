"""Recording consent: what a person agrees to in a call or a reply, and what an inquiry implies."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from followups.models import ContactPoint
from followups.services.guards import require_not_erased
from followups.services.locked_task import LockedTask, lock_task
from governance.contact.rules import ConsentRow
from governance.contact.services import HEARD, NOT_THIS_KIND, consent_expiry, record_consent
from governance.core.actors import Actor
from governance.core.channels import CHANNELS
from governance.core.errors import Invalid, Refused
from governance.core.verbs import Execution, verb

if TYPE_CHECKING:
    from governance.contact.models import Consent

RECORDING, REPLY = "RECORDING", "REPLY"
EVIDENCE = (RECORDING, REPLY)
LONGEST_WORDING, LONGEST_REFERENCE = 100, 150
EXPRESS, INQUIRY, WITHDRAWN = "EXPRESS", "INQUIRY", "WITHDRAWN"


def _point(locked: LockedTask, channel: str) -> ContactPoint | None:
    """Return the point by which the person was contacted, if the channel reaches it, else the first one."""
    used = locked.task.contact_point
    usable = used is not None and used.status == ContactPoint.Status.USABLE
    if used is not None and usable and used.kind == CHANNELS[channel].kind:
        return used
    return locked.point_for(channel)


@verb(Execution.OBSERVE_ONLY, right=HEARD, refusal=NOT_THIS_KIND)
def record_heard_consent(
    task_id: int, *, by: Actor, at: datetime, channel: str, wording: str, evidence: str, reference: str
) -> Consent:
    """Record that the person of a task agreed to be contacted on a channel: an express consent.

    `wording` is what they agreed to (at most 100 characters), `evidence` RECORDING or REPLY, `reference`
    where it is stored (at most 150). Like every express consent it ends earlier suppressions of that channel.

    Raises Forbidden without the permission, NotFound and Forbidden for another's task, Invalid for missing
    input, Refused `no_contact_point` if no number or address of the lead fits, `lead_erased`.
    """
    wrong: dict[str, list[str]] = {}
    if channel not in CHANNELS:
        wrong["channel"] = [_("There is no such channel.")]
    if evidence not in EVIDENCE:
        wrong["evidence"] = [_("Choose a recording or a reply.")]
    for name, text, longest in (
        ("wording", wording, LONGEST_WORDING),
        ("reference", reference, LONGEST_REFERENCE),
    ):
        if not text.strip():
            wrong[name] = [_("This is needed: the sender must be able to prove consent.")]
        elif len(text.strip()) > longest or "\0" in text:
            wrong[name] = [_("At most %(most)s characters, without NUL.") % {"most": longest}]
    if wrong:
        raise Invalid(wrong)
    locked = lock_task(task_id, by=by, at=at)
    require_not_erased(locked.lead)
    point = _point(locked, channel)
    if point is None:
        raise Refused("no_contact_point", _("This lead has no usable number or address for this channel."))
    return record_consent(
        point.digest, channel, EXPRESS, by=by, at=at, obtained_at=at, how=wording.strip(),
        evidence=f"{evidence}: {reference.strip()}",
    )  # fmt: skip


def inquiry_of(locked: LockedTask) -> ConsentRow | None:
    """Return the consent to record for an inquiry of the lead; None without a contact point."""
    channel = locked.task.channel
    point = _point(locked, channel)
    if point is None:
        return None
    return ConsentRow(0, point.digest, channel, INQUIRY, locked.at, consent_expiry(INQUIRY, locked.at))


def record_inquiry(locked: LockedTask, *, evidence: str) -> None:
    """Record an inquiry of the lead, see `rules.outcomes.is_inquiry`."""
    channel = locked.task.channel
    point = _point(locked, channel)
    if point is None:
        return
    record_consent(
        point.digest, channel, INQUIRY, by=locked.by, at=locked.at, obtained_at=locked.at,
        how=_("The person contacted us and wants to sell"), evidence=evidence,
    )  # fmt: skip
