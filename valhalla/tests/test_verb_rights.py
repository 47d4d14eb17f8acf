"""Which roles a verb refuses, and with what sentence: the rights table as the verbs themselves answer it.

Every verb is called as each role with arguments that it must not even look at: a refusal is the first thing
that it says, and whoever has the right is let through to the body, which is not run.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django import Settings

from buyers.models import Buyer
from followups.models import Lead
from governance.accounts.rules import POLICY_RIGHTS
from governance.contact.models import Closure, Consent
from governance.core.actors import Actor, Role
from governance.core.errors import Forbidden, Invalid, Unavailable
from governance.golive.models import GoLiveState
from valhalla.roles import EVERY_RIGHT, ROLE_RIGHTS
from valhalla.tests.test_verbs import READS, STEPS
from valhalla.tests.verbs import verbs

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 4, 15, tzinfo=UTC)
# V(A), C(loser), M(anager), A(uditor), S(ervice client), P: a service client's token with the scope "policy"
ROLES = {letter: ROLE_RIGHTS[Role(name)] for letter, name in zip("VCMAS", Role.values, strict=True)}
ROLES["P"] = ROLES["S"] | POLICY_RIGHTS
NAMES = dict(zip("VCMAS", Role.values, strict=True)) | {"P": Role.SERVICE.value}

ROLE = "Your role does not allow this."
PEOPLE = "Only a manager changes roles and who is active."
PLANS = "Only a manager plans when people work."
SESSIONS = "Only a manager ends somebody else’s sessions."
MARKET = "Changing a market policy needs a manager, or a token with the policy scope."
UNDOING = "Your role does not undo opt-outs."
ENDING = "Ending a reservation needs a closer, a manager or a service client."
CONSENTS = "Your role does not record this kind of consent."
REFERENCE = "Only a manager changes this."
LEADS = "Only a manager changes leads by hand."
SOURCES = "Your role does not write leads; ask a manager."
SWITCHING = "Your role does not allow this change of the kill switch."
ERASING = "Only a manager erases a person."

# The verb (with what it is asked, where its right depends on that), who is let in, what the others are told.
TABLE: list[tuple[str, Mapping[str, object], str, str]] = [
    ("buyers.services.record_feedback", {}, "VCMSP", "Your role does not allow recording feedback."),
    ("buyers.services.save_buyer", {"buyer": Buyer()}, "M", "Changing a buyer needs a manager."),
    ("followups.intake.services.import_leads", {}, "M", ROLE),
    ("followups.services.claims.claim_due", {}, "VCM", ROLE),
    ("followups.services.claims.release_claim", {}, "VCM", ROLE),
    ("followups.services.claims.renew_claim", {}, "VCM", ROLE),
    ("followups.services.completing.complete_task", {}, "VCMSP", ROLE),
    ("followups.services.completing.start_task", {}, "VCMSP", ROLE),
    ("followups.services.consents.record_heard_consent", {}, "VCM", CONSENTS),
    ("followups.services.corrections.correct_task", {}, "VCM", ROLE),
    ("followups.services.inbound.look_up", {}, "VCMASP", ROLE),
    ("followups.services.inbound.record_inbound", {}, "VCMSP", ROLE),
    ("followups.services.ladders._create", {}, "VCMSP", ROLE),
    ("followups.services.ladders.create_ladder", {}, "VCMSP", ROLE),
    ("followups.services.ladders.keep_details", {}, "VCMSP", ROLE),
    ("followups.services.ladders.stop_ladder", {}, "M", ROLE),
    ("followups.services.leads.save_lead", {"lead": Lead()}, "M", LEADS),
    ("followups.services.leads.save_lead", {"lead": Lead(pk=1)}, "M", LEADS),
    ("followups.services.leads.settle_points", {}, "M", LEADS),
    ("followups.services.opt_outs._undo_part", {}, "VCM", UNDOING),
    ("followups.services.opt_outs.undo_opt_out", {}, "VCM", UNDOING),
    ("followups.services.planning.reassign_found", {}, "M", ROLE),
    ("followups.services.planning.reassign_tasks", {}, "M", ROLE),
    ("followups.services.planning.skip_task", {}, "VCM", ROLE),
    ("followups.services.planning.snooze_task", {}, "VCM", ROLE),
    ("followups.services.queue.next_task", {}, "VCM", ROLE),
    ("followups.services.templates.save_template", {}, "M", ROLE),
    ("followups.services.edits.add_point", {}, "MSP", SOURCES),
    ("followups.services.edits.change_lead", {}, "MSP", SOURCES),
    ("followups.services.edits.retire_point", {}, "MSP", SOURCES),
    ("followups.services.edits.settle_by_hand", {}, "MSP", SOURCES),
    ("followups.services.upserts.start_later", {}, "MSP", SOURCES),
    ("followups.services.upserts.upsert_lead", {}, "MSP", SOURCES),
    ("followups.services.waiting.mark_shared", {}, "M", "Only a manager marks a number as shared."),
    ("governance.accounts.passwords.create_link", {}, "M", "Only a manager creates password links."),
    (
        "governance.accounts.second_factor.reset_second_factor", {}, "M",
        "Only a manager resets a second factor.",
    ),
    (
        "governance.accounts.services.issue_token", {"username": "nobody", "days": 1}, "M",
        "Only a manager issues tokens to service clients.",
    ),
    ("governance.accounts.services.mark_away", {}, "M", PLANS),
    (
        "governance.accounts.services.revoke_token", {"token": SimpleNamespace(user_id=0)}, "M",
        "Only a manager revokes somebody else’s token.",
    ),
    ("governance.accounts.services.set_active", {}, "M", PEOPLE),
    ("governance.accounts.services.set_role", {"role": "VA"}, "M", PEOPLE),
    ("governance.accounts.services.set_shifts", {"windows": ()}, "M", PLANS),
    ("governance.accounts.sign_ins.end_everything", {}, "M", SESSIONS),
    (
        "governance.contact.do_not_call.import_do_not_call", {}, "M",
        "Only a manager imports the do-not-call list.",
    ),
    ("governance.contact.reference.remove_reference", {"row": Closure()}, "M", REFERENCE),
    ("governance.contact.reference.save_reference", {"row": Closure()}, "M", REFERENCE),
    ("governance.contact.services.lift_press", {}, "VCM", UNDOING),
    ("governance.contact.services.lift_suppression", {}, "M", "Only a manager ends a suppression."),
    ("governance.contact.services.record_consent", {"kind": Consent.Kind.BUSINESS}, "M", CONSENTS),
    ("governance.contact.services.record_consent", {"kind": Consent.Kind.EXPRESS}, "VCMSP", CONSENTS),
    ("governance.contact.services.record_consent", {"kind": Consent.Kind.INQUIRY}, "VCMSP", CONSENTS),
    ("governance.contact.services.record_consent", {"kind": Consent.Kind.WITHDRAWN}, "VCMSP", CONSENTS),
    ("governance.contact.services.suppress", {}, "VCMSP", "Your role does not record opt-outs."),
    (
        "governance.contact.statements.state_consent", {}, "M",
        "Only a manager states how consent is obtained.",
    ),
    (
        "governance.contact.statements.state_exempt_calls", {}, "M",
        "Only a manager states which numbers are called.",
    ),
    ("governance.golive.services.set_go_live", {"enabled": True}, "M", "Only a manager switches go-live."),
    ("governance.golive.services.set_go_live", {"enabled": False}, "M", "Only a manager switches go-live."),
    ("governance.golive.services.set_kill_switch", {"engaged": False}, "M", SWITCHING),
    ("governance.golive.services.set_kill_switch", {"engaged": True}, "CM", SWITCHING),
    (
        "governance.heimdall.services.policies.upsert_policy", {}, "MP",
        "Changing a Heimdall policy needs a manager, or a token with the policy scope.",
    ),
    (
        "governance.heimdall.services.recommendations.recommend", {}, "CMSP",
        "Your role does not allow recording recommendations.",
    ),
    (
        "governance.heimdall.services.recommendations.record_trial", {}, "CMSP",
        "Your role does not allow recording sandbox trials.",
    ),
    ("governance.kpi.targets.set_target", {}, "M", "Only a manager changes targets."),
    ("governance.market.services.cancel_scheduled", {}, "MP", MARKET),
    ("governance.market.services.schedule_change", {}, "MP", MARKET),
    ("governance.market.services.upsert_policy", {}, "MP", MARKET),
    ("governance.outbox.switching.switch_job", {}, "M", "Only a manager runs or pauses jobs."),
    ("governance.retention.erasing.erase_person", {}, "M", ERASING),
    ("governance.retention.erasing.preview", {}, "M", ERASING),
    (
        "governance.retention.periods.set_period", {}, "M",
        "Only a manager changes how long something is kept.",
    ),
    (
        "governance.risk.services.policies.upsert_policy", {}, "MP",
        "Changing a risk policy needs a manager, or a token with the policy scope.",
    ),
    (
        "governance.risk.services.reservations.reserve_exposure", {}, "CMSP",
        "Reserving risk needs a closer, a manager or a service client.",
    ),
    ("governance.risk.services.settlement.release", {}, "CMSP", ENDING),
    ("governance.risk.services.settlement.settle", {}, "CMSP", ENDING),
    ("governance.risk.services.throttles.release_throttle", {}, "M", "Only a manager releases a throttle."),
    (
        "governance.tripwire.services.evaluation.evaluate_tripwires", {}, "MSP",
        "Your role does not evaluate tripwires.",
    ),
    ("governance.tripwire.services.events.record_kpi", {}, "CMSP", "Your role does not record events."),
    (
        "governance.tripwire.services.policies.upsert_policy", {}, "MP",
        "Changing a tripwire needs a manager, or a token with the policy scope.",
    ),
    ("governance.tripwire.services.release.release_tripwire", {}, "M", "Only a manager resets an alert."),
    (
        "offers.services.computation.compute_offer", {}, "CMSP",
        "Computing an offer needs a closer or a manager.",
    ),
    ("offers.services.outcomes.correct_outcome", {}, "M", "Only a manager corrects an outcome."),
    (
        "offers.services.outcomes.record_outcome", {}, "CMSP",
        "Recording an outcome needs a closer or a manager.",
    ),
    (
        "offers.services.policies.upsert_policy", {}, "MP",
        "Changing an offer policy needs a manager, or a token with the policy scope.",
    ),
]  # fmt: skip


# Verbs that ask for no right. Whoever adds a verb gives it a `right`, with a row above, or a line here.

# run by the scheduler or by an operator's command
JOBS = {
    "buyers.services.rebuild_liquidity",
    "buyers.services.recount_node",
    "buyers.services.refresh_activity",
    "followups.services.claims.free_expired_claims",
    "followups.services.nurture._postpone",
    "followups.services.nurture._start",
    "followups.services.rekeying._move",
    "followups.services.rescheduling._batch",
    "followups.services.rescheduling._bring_back",
    "followups.services.sla._keep_snapshot",
    "followups.services.sla.escalate_overdue",
    "followups.services.sla.report_unopened_handovers",
    "governance.accounts.second_factor_keys.add_key",
    "governance.accounts.second_factor_keys.drop_key",
    "governance.contact.keys.add_key",
    "governance.contact.keys.drop_key",
    "governance.contact.keys.moved_to",
    "governance.market.services._apply_due",
    "governance.retention.services.remove_expired",
    "governance.retention.services.remove_step",
    "governance.risk.services.settlement.expire",
    "governance.risk.services.settlement.release_stale",
    "governance.runbook.backups._record",
    "governance.runbook.backups.back_up",
}
# parts of what has asked, or begun by it
PARTS = {
    "followups.intake.services.start_ladders",
    "followups.intake.services.store_leads",
    "followups.services.completing._complete",
    "followups.services.completing._record",
    "followups.services.sharing.complete_for",
    "governance.contact.do_not_call._keep",
    "governance.contact.do_not_call._suppress",
    "governance.tripwire.services.evaluation._evaluate",
    "governance.risk.services.throttles.throttle",
}
# what one does with one's own account, and what notes or ends it for others' reasons
OWN = {
    "governance.accounts.account_log.record",
    "governance.accounts.passkeys.add_passkey",
    "governance.accounts.passkeys.remove_passkey",
    "governance.accounts.passwords.set_own_password",
    "governance.accounts.sign_ins.close",
    "governance.accounts.sign_ins.close_all_of",
    "governance.accounts.sign_ins.end_others",
}
# they ask once they know that something of others would change; tested with their subjects
LATER = {
    "governance.accounts.services.make_manager",
    "governance.accounts.sign_ins.end_sessions",
    "governance.heimdall.services.policies.promote",
}
# the right to an event is that to what it tells of
EVENTS = "governance.kpi.services."


def right_of(function: object) -> str:
    return str(getattr(function, "right", ""))


@pytest.mark.once
def test_every_verb_has_a_row_or_a_reason_to_ask_for_no_right() -> None:
    asks = {name for name, *_row in TABLE}
    others = {name for name in set(verbs()) - asks - READS - STEPS if not name.startswith(EVENTS)}

    assert sorted(others ^ (JOBS | PARTS | OWN | LATER)) == []


@pytest.mark.once
def test_what_a_verb_declares_is_a_right_and_what_the_table_has() -> None:
    asked = {
        name: right for name in {*verbs(), *(row[0] for row in TABLE)} if (right := right_of(found(name)))
    }
    let_in = {name: set(letters) for name, _asked, letters, _told in TABLE}

    assert len(asked) > 50
    assert sorted(right for right in asked.values() if right not in EVERY_RIGHT) == []
    has = {name: {letter for letter in ROLES if right in ROLES[letter]} for name, right in asked.items()}
    assert {name: letters for name, letters in has.items() if letters != let_in.get(name)} == {}


# --- what each role is answered -----------------------------------------------------------------------------


class LetIn(BaseException):
    """The verb asked for a right that the actor has: its body would begin."""


class Asker(Actor):
    """An actor who stops the verb as soon as it learns that it may go on."""

    def may(self, right: str) -> bool:
        if Actor.may(self, right):
            raise LetIn(right)
        return False


def found(name: str) -> Callable[..., Any]:
    module, _dot, function = name.rpartition(".")
    verb: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return verb


def answer(name: str, asked: Mapping[str, Any], by: Actor) -> str:
    """Return `let in`, or the code and sentence of the refusal."""
    verb = found(name)
    given: dict[str, Any] = {}
    for parameter in inspect.signature(verb).parameters.values():
        needed = parameter.default is inspect.Parameter.empty
        if needed or parameter.name in asked:
            given[parameter.name] = asked.get(parameter.name, object())
    if "details" in given and "details" not in asked:
        given["details"] = None
    if "completion" in given:
        given["completion"] = SimpleNamespace(outcome="", happened=False)
    if "at" in given:
        given["at"] = AT
    try:
        verb(**given | {"by": by})
    except LetIn:
        return "let in"
    except Forbidden as refusal:
        return f"{refusal.code}: {refusal}"
    except Unavailable as refusal:
        return refusal.code
    raise AssertionError(f"{name} asks for no right")


def asker(letter: str) -> Asker:
    return Asker(username=f"a-{letter}", role=NAMES[letter], rights=ROLES[letter], user_id=7)


@pytest.mark.parametrize(("name", "asked", "let_in", "sentence"), TABLE)
def test_each_role_is_let_in_or_refused_with_the_same_sentence(
    name: str, asked: Mapping[str, object], let_in: str, sentence: str
) -> None:
    answers = {letter: answer(name, asked, asker(letter)) for letter in ROLES}

    expected = {letter: "let in" if letter in let_in else f"not_allowed: {sentence}" for letter in ROLES}
    assert answers == expected


# Whose access it is, accounts ask of the operator before they ask for the right.
OF_JOBS = [(name, asked) for name, asked, _in, _told in TABLE if not name.startswith("governance.accounts.")]


@pytest.mark.parametrize(("name", "asked"), OF_JOBS)
def test_a_job_may_do_everything(name: str, asked: Mapping[str, object]) -> None:
    job = Asker(username="a job", role="SYSTEM", is_system=True)

    assert answer(name, asked, job) == "let in"


# What a switch stops says so first, whoever asks; what is made of several verbs asks for the right first.
STOPPED = {
    "buyers.services.record_feedback",
    "followups.services.claims.claim_due",
    "followups.services.completing.start_task",
    "followups.services.ladders._create",
    "followups.services.ladders.create_ladder",
    "followups.services.queue.next_task",
    "governance.heimdall.services.recommendations.record_trial",
    "governance.risk.services.reservations.reserve_exposure",
    "offers.services.computation.compute_offer",
}


@pytest.mark.parametrize(("name", "asked", "let_in", "sentence"), TABLE)
def test_the_switches_are_asked_before_the_right(
    settings: Settings, name: str, asked: Mapping[str, object], let_in: str, sentence: str
) -> None:
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=False, kill_switch_engaged=True)
    nobody = Asker(username="nobody", role="", user_id=7)

    expected = "kill_switch_engaged" if name in STOPPED else f"not_allowed: {sentence}"
    assert answer(name, asked, nobody) == expected


WRONG: dict[str, Mapping[str, object]] = {
    "governance.accounts.services.issue_token": {"days": 0},
    "governance.accounts.services.set_role": {"role": "KING"},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_be_nobodys_input_is_refused_before_the_right(name: str) -> None:
    asked = {"username": "nobody", "user": object(), "reason": "", "by": asker("V"), "at": AT, **WRONG[name]}
    verb = found(name)
    with pytest.raises(Invalid):
        verb(**{key: value for key, value in asked.items() if key in inspect.signature(verb).parameters})
