"""What the schema says about the contact gate."""

from __future__ import annotations

from rest_framework import serializers

from governance.contact.reasons import SENTENCES
from governance.core.rest.describe import Answer, Doc, Tag, codes

TAG = Tag(
    "Contact gate",
    "May this person be contacted now, and if not, when? The gate also decides by itself in every call that "
    "contacts somebody; its decisions are stored.",
    prefix="Contact",
)
REFUSALS = {
    "lead_not_found": (404, "There is no lead with this id."),
    "contact_key": (503, "The key of the do-not-contact list is missing; nobody may be contacted."),
}
REASONS = sorted(set(SENTENCES) - {"person_active"})


class Check(Answer):
    """One of the nine checks, in their order."""

    check = serializers.CharField()
    result = serializers.ChoiceField(["pass", "fail", "not_checked"])
    reason = serializers.CharField()
    exemption = serializers.CharField(required=False, help_text="Why a call needs no national list.")


class AppliedPolicy(Answer):
    """The policy that decided."""

    id = serializers.IntegerField()
    version = serializers.IntegerField()
    market = serializers.CharField()
    enabled = serializers.BooleanField()


class Verdict(Answer):
    """The gate's answer. A refusal is an answer with `ok` false, not an error."""

    ok = serializers.BooleanField()
    reason = serializers.ChoiceField(REASONS, help_text="The first check that refuses, else `within_window`.")
    province = serializers.CharField()
    market = serializers.CharField()
    channel = serializers.CharField()
    policy = AppliedPolicy(allow_null=True)
    scope = serializers.CharField(help_text="What was judged: the place alone, or a person too.")
    zones = codes(help_text="The time zones in which the contact was judged.")
    local_times = codes(help_text="The local time in each of the zones.")
    checks = Check(many=True)
    next_allowed_at = serializers.DateTimeField(
        allow_null=True, help_text="When the same query would be allowed first; null if not within 60 days."
    )
    warnings = codes()
    citation = serializers.CharField(help_text="The law that refuses, if one does.")


SHAPES = {
    "DecisionSerializer.zones": codes(),
    "DecisionSerializer.local_times": codes(),
    "DecisionSerializer.basis": serializers.DictField(help_text="What the decision was based on."),
}
DOCS = {
    "GateViewSet.can_contact": Doc(
        "Ask whether a person may be contacted",
        "Judges a channel for a place or a lead, at an instant, at a local weekday and time, or now. "
        "Nothing is stored. Use POST for a phone number or an e-mail address: proxies and logs store URLs.",
        answer=Verdict,
        refusals=("lead_not_found", "contact_key"),
        fields={
            "channel": "SMS, CALL or EMAIL.",
            "province": "Needed without `lead_id`.",
            "weekday": "Monday 0 to Sunday 6, local; with `hhmm`.",
            "hhmm": "A local time such as 09:30; with `weekday`.",
            "at": "Defaults to now. Either `at`, or `weekday` and `hhmm`.",
            "lead_score": "0 to 1; overrides the lead's own. Blank means unknown.",
            "phone": "Also checks this number against the do-not-contact lists.",
            "email": "Also checks this address against the do-not-contact lists.",
            "timezone": "An IANA time zone, if the person's own is known.",
        },
    ),
    "DecisionViewSet.list": Doc(
        "List contact decisions",
        "What the gate decided each time somebody contacted a lead or was refused, newest first. Phones and "
        "addresses appear only as keyed hashes.",
    ),
    "DecisionViewSet.retrieve": Doc("Get a contact decision"),
}
