"""The permissions of each role, in one table. `manage.py sync_roles` shows it in admin as Django groups.

Each is a Django permission that its pack declares. Services check who owns an object.
"""

from __future__ import annotations

from governance.core.actors import Role

# Permission -> the roles that have it, one letter each: V(A), C(loser), M(anager), A(uditor), S(ervice
# client).
_TABLE: dict[str, str] = {
    # reading
    "governance.view_operations": "VCMAS",  # policies, effective, can-contact, score, nodes, sla, due
    "followups.view_lead": "VCMAS",  # for a VA: their own and unowned ones (the services check)
    "followups.view_followuptask": "VCMAS",
    "followups.view_all": "CMAS",
    "buyers.view_buyers": "CMAS",
    "offers.view_evidence": "CMAS",
    "governance.view_kpievent": "CMAS",
    "governance.view_runbook": "CMAS",
    "governance.view_contactdecision": "CMAS",
    "governance.view_risk": "CMAS",
    "governance.view_heimdall": "CMAS",
    # working tasks
    "followups.claim_task": "VCM",
    "followups.start_task": "VCMS",
    "followups.complete_task": "VCMS",
    "followups.plan_task": "VCM",  # snooze, skip
    "followups.correct_task": "VCM",
    "followups.correct_any_task": "M",
    "followups.lookup": "VCMAS",
    "followups.review_lookups": "M",  # who looked up many people recently
    "followups.record_inbound": "VCMS",
    "followups.work_any_task": "MS",
    "followups.reassign": "M",
    "followups.stop_ladder": "M",
    "followups.create_ladder": "VCMS",
    "followups.import_leads": "M",
    "followups.write_leads": "MS",  # over the API: create, change, close, contact points
    "followups.edit_templates": "M",
    "governance.override_gate": "CM",
    "governance.suppress": "VCMS",
    "governance.lift_suppression": "M",
    "governance.undo_opt_out": "VCM",  # the suppression from one's own key press, for ten minutes
    "governance.record_consent": "M",
    "governance.record_heard_consent": "VCM",  # express consent, on the card
    "governance.record_sent_consent": "MS",  # express consent, with a lead that a source sends
    "governance.record_inquiry": "VCMS",  # recorded automatically for an inbound contact
    "governance.import_do_not_call": "M",
    "governance.state_exempt_calls": "M",  # that only exempt numbers of an area code are called
    # buyers and offers
    "buyers.record_feedback": "VCMS",
    "offers.compute_offer": "CMS",
    "offers.record_outcome": "CMS",
    "offers.correct_outcome": "M",  # also a price above the maximum allowable offer
    # policies (a service client needs a token with the policy scope) and switches
    "governance.edit_policies": "M",
    "offers.edit_policies": "M",
    "governance.engage_kill_switch": "CM",
    "governance.switch_go_live": "M",
    "governance.record_kpi": "CMS",
    "governance.reserve_risk": "CMS",  # settle and release too
    "governance.release_throttle": "M",  # and resetting the tripwire's alert
    "governance.view_tripwires": "CMAS",
    "governance.evaluate_tripwires": "MS",
    "governance.run_heimdall": "CMS",
    "governance.promote_heimdall": "M",
    "governance.manage_people": "M",
    "governance.issue_own_token": "VCMA",  # on one's own page, after a code or the password
    "governance.manage_schedules": "M",
    "governance.erase_person": "M",
}

# Admin screens: what a manager may also add and change there; managers and auditors can view everything.
_EDITED_IN_ADMIN = (
    "governance.user", "governance.workprofile", "governance.absence", "governance.apitoken",
    "governance.marketpolicy", "governance.statutoryhours", "governance.closure", "governance.cityzone",
    "governance.suppression", "governance.consent", "governance.consentstatement",
    "governance.areacodestatement",
    "governance.golivestate", "governance.target", "governance.riskpolicy",
    "governance.regressionpolicy",
    "governance.heimdallpolicy", "governance.retentionperiod",
    "followups.lead", "followups.contactpoint", "followups.property", "followups.laddertemplate",
    "buyers.buyer", "offers.offerpolicy",
    "django_celery_beat.periodictask", "django_celery_beat.crontabschedule",
    "django_celery_beat.intervalschedule",
)  # fmt: skip
_VIEWED_IN_ADMIN = (
    *_EDITED_IN_ADMIN,
    "governance.kpievent", "governance.figure", "governance.marketname",
    "governance.contactdecision", "governance.outboxmessage",
    "governance.signin", "governance.rolechange", "governance.accountchange", "axes.accessattempt",
    "governance.jobslot", "governance.jobswitch", "governance.historicaljobswitch",
    "governance.heartbeat", "governance.schedulerlease", "governance.idempotentanswer",
    "governance.hashkeycheck", "governance.riskengine", "governance.riskledgerday",
    "governance.riskreservation", "governance.riskthrottle", "governance.riskevent",
    "governance.historicalriskpolicy", "governance.historicalregressionpolicy",
    "governance.regressionstate", "governance.regressionfiring",
    "governance.heimdallscorecardday", "governance.heimdallrecommendation", "governance.heimdallevent",
    "governance.removal", "governance.erasure",
    "followups.ladder", "followups.followuptask", "followups.slasnapshot",
    "followups.realignrequest", "followups.taskcorrection", "followups.inboundcontact",
    "followups.lookupevent",
    "buyers.buyerliquiditynode", "buyers.buyerfeedbackevent", "offers.offer", "offers.offerevidence",
    "offers.offeroutcome", "auth.group",
    "governance.donotcallimport", "governance.areacodelist", "governance.backup",
    "governance.scheduledchange",
    "governance.historicalconsentstatement", "governance.historicalareacodestatement",
    "governance.historicalmarketpolicy",
    "governance.historicalstatutoryhours",
    "governance.historicalclosure",
    "governance.historicalcityzone", "governance.historicalgolivestate", "governance.historicaltarget",
    "governance.historicalheimdallpolicy",
    "governance.historicalretentionperiod",
    "followups.historicalladdertemplate",
    "offers.historicalofferpolicy",
)  # fmt: skip
_DELETED_IN_ADMIN = (
    "governance.absence",
    "governance.closure",
    "governance.cityzone",
    "followups.property",
    "django_celery_beat.crontabschedule",
    "django_celery_beat.intervalschedule",
)

_LETTERS = {"V": Role.VA, "C": Role.CLOSER, "M": Role.MANAGER, "A": Role.AUDITOR, "S": Role.SERVICE}


def _model_right(verb: str, model: str) -> str:
    app, name = model.split(".")
    return f"{app}.{verb}_{name}"


def _rights() -> dict[Role, frozenset[str]]:
    table = {
        role: {right for right, letters in _TABLE.items() if letter in letters}
        for letter, role in _LETTERS.items()
    }
    for model in _VIEWED_IN_ADMIN:
        for role in (Role.MANAGER, Role.AUDITOR):
            table[role].add(_model_right("view", model))
    for model in _EDITED_IN_ADMIN:
        table[Role.MANAGER] |= {_model_right("add", model), _model_right("change", model)}
    table[Role.MANAGER] |= {_model_right("delete", model) for model in _DELETED_IN_ADMIN}
    return {role: frozenset(rights) for role, rights in table.items()}


ROLE_RIGHTS: dict[Role, frozenset[str]] = _rights()
EVERY_RIGHT: frozenset[str] = frozenset().union(*ROLE_RIGHTS.values())


def rights_of_role(role: str | None) -> frozenset[str]:
    """Return the permissions of a role, or, for None (a superuser), every one that a role has."""
    return EVERY_RIGHT if role is None else ROLE_RIGHTS[Role(role)]
