"""The day of the current user, and the team's for managers: who works on what, and reassigning tasks."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from followups import services, wording
from followups.forms import ReassignForm
from followups.models import FollowUpTask
from followups.pages import card as cards
from followups.pages.desk import desk, find
from followups.pages.entry import SEE, is_part, needs, part, posted, stopped, to_list, who
from followups.services.due import overdue_of
from followups.services.team import TEAM_ZONE, Figures, Team, day_of, last_done, team_at
from governance.core.actors import Actor, Role, owner_key
from governance.core.channels import CHANNELS
from governance.core.errors import Refused


@needs(SEE)
def day(request: HttpRequest) -> HttpResponse:
    """Show the user's day next to the team's median."""
    by, at = who(request), timezone.now()
    found = day_of(by, at)
    mine, team = _percent(found.mine.sla), _percent(found.team.sla)
    context = {"day": found, "sla": mine, "team_sla": team, "may": cards.may(by)}
    if is_part(request):
        return part(request, "followups/day.html", context)
    context["last"] = [_last(task) for task in last_done(by)]
    return render(request, "followups/day_page.html", context)


def _last(task: FollowUpTask) -> dict[str, object]:
    """Return a completed task for the list, with its outcome as it counts."""
    assert task.completed_at is not None
    return {
        "pk": task.pk,
        "when": wording.moment(task.contacted_at or task.completed_at, task.zone),
        "name": cards.name_of(task.lead),
        "channel": CHANNELS[task.channel].name,
        "outcome": wording.OUTCOMES[task.standing_outcome],
        "corrected": task.standing_outcome != task.outcome,
    }


def _percent(fraction: Decimal | None) -> str:
    return "–" if fraction is None else f"{round(fraction * 100)} %"


@needs(services.reassign_found.right)
def team(request: HttpRequest) -> HttpResponse:
    """Show who works on what, what has waited longest, who is off; reassign tasks."""
    by, at = who(request), timezone.now()
    return _team_page(request, by, at, ReassignForm(auto_id="give_%s"))


def _team_page(
    request: HttpRequest, by: Actor, at: datetime, form: ReassignForm, status: int = 200
) -> HttpResponse:
    found: Team = team_at(at)
    form.offer([member.name for member in found.members if member.role != Role.MANAGER])
    oldest = [member.oldest for member in found.members] + [found.oldest_unowned]
    late = overdue_of([row["pk"] for row in oldest if row], by=by, at=at)
    context = {
        "form": form,
        "members": [_member(member, late, at) for member in found.members],
        "unowned": found.unowned,
        "oldest_unowned": _first(found.oldest_unowned, late),
        "absences": [
            {
                "pk": row["pk"],
                "name": row["user__username"],
                "starts": wording.moment(row["starts_at"], TEAM_ZONE.key),
                "ends": wording.moment(row["ends_at"], TEAM_ZONE.key),
                "now": row["starts_at"] <= at,
            }
            for row in found.absences
        ],
        "is_more": found.is_more,
        "may_edit": request.user.has_perm("governance.add_absence"),
        "stopped": stopped(request),
    }
    return render(request, "followups/team.html", context, status=status)


def _member(member: Any, late: dict[int, int], at: datetime) -> dict[str, object]:
    figures: Figures = member.today
    return {
        "name": member.name,
        "role": Role(member.role).label,
        "absent": wording.moment(member.absent_until, TEAM_ZONE.key) if member.absent_until else "",
        "holds": [
            {
                "pk": claim["pk"],
                "name": claim["lead__name"] or claim["lead__external_id"],
                "channel": CHANNELS[claim["channel"]].name,
                "for": wording.duration(int((at - claim["claimed_at"]).total_seconds() // 60)),
                "started": claim["started_at"] is not None and claim["started_at"] >= claim["claimed_at"],
            }
            for claim in member.holds
        ],
        "due": member.due,
        "oldest": _first(member.oldest, late),
        "done": figures.done,
        "reached": figures.reached,
        "replied": figures.replied,
        "sla": _percent(figures.sla),
    }


def _first(row: dict[str, Any] | None, late: dict[int, int]) -> dict[str, object] | None:
    if row is None:
        return None
    return {
        "pk": row["pk"],
        "name": row["lead__name"] or row["lead__external_id"],
        "late": wording.overdue(late.get(row["pk"], 0)),
    }


@needs(services.reassign_found.right)
def give(request: HttpRequest) -> HttpResponseBase:
    """Reassign all open tasks of one person to another, up to 500 at a time."""
    by, at = who(request), timezone.now()
    if request.method != "POST":
        return redirect("followups:team")
    form = ReassignForm(request.POST, auto_id="give_%s")
    form.offer([member.name for member in team_at(at).members])
    if not form.is_valid():
        return _team_page(request, by, at, form, 400)
    said = form.cleaned_data
    try:
        moved, left = services.reassign_found(
            {"owner_key": owner_key(said["whose"])}, said["owner"], by=by, at=at, reason=said["reason"]
        )
    except Refused as refusal:
        form.add_error(None, str(refusal))
        return _team_page(request, by, at, form, refusal.status)
    text = ngettext("%(count)s task was reassigned.", "%(count)s tasks were reassigned.", moved) % {
        "count": moved
    }
    if left:
        text += " " + _("%(left)s remain: repeat to reassign them.") % {"left": left}
    messages.success(request, text)
    return redirect("followups:team")


@needs(services.reassign_tasks.right)
@posted
def reassign(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Reassign one task, and the rest of its ladder."""
    by, at = who(request), timezone.now()
    look = find(pk, by, at)
    owner, reason = request.POST.get("owner", "")[:150].strip(), request.POST.get("reason", "")[:200]
    try:
        services.reassign_tasks([pk], owner.replace("\0", ""), by=by, at=at, reason=reason.replace("\0", ""))
    except Refused as refusal:
        return desk(request, by, at, look=look, refusal=refusal)
    messages.success(
        request,
        _("%(lead)s: reassigned to %(owner)s.")
        % {"lead": cards.name_of(look.task.lead), "owner": owner or _("nobody")},
    )
    return to_list(request)
