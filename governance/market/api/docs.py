"""What the schema says about market policies."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.describe import Answer, Doc, Tag, ok

TAG = Tag(
    "Market policies",
    "Where, when and on which channels leads may be contacted, by province and market. The policy of the "
    "market ALL applies wherever a market has none of its own.",
    prefix="Market",
)
REFUSALS = {
    "already_in_force": (409, "The change is in effect already and cannot be cancelled."),
    "already_scheduled": (409, "A change is scheduled for this very instant."),
    "too_many_scheduled": (409, "The policy has as many scheduled changes as are allowed."),
    "scheduled_change_not_found": (404, "There is no such scheduled change."),
}
RULES = (
    "`windows` (each with `days`, Monday 0 to Sunday 6, `start` and `end` as HH:MM), `channels`, `min_score` "
    "(0 to 1), `skip_holidays`, `consent_required` and the frequency caps."
)


class Change(Answer):
    """A scheduled change of a policy; `changes` has only the values that it changes."""

    id = serializers.IntegerField()
    province = serializers.CharField()
    market = serializers.CharField()
    effective_from = serializers.DateTimeField()
    changes = serializers.DictField()
    state = serializers.CharField()
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()


class Policy(Answer):
    """A market policy with its pending changes."""

    id = serializers.IntegerField()
    province = serializers.CharField()
    market = serializers.CharField()
    enabled = serializers.BooleanField()
    rules = serializers.DictField(help_text=RULES)
    timezone = serializers.CharField(help_text="An IANA time zone; blank means that of the city or province.")
    version = serializers.IntegerField(help_text="Send it as `expected_version` to change this very state.")
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    updated_at = serializers.DateTimeField()
    scheduled = Change(many=True)


class Upserted(Answer):
    """The policy after the change; for a province's first policy that is only scheduled, `id` is null."""

    id = serializers.IntegerField(allow_null=True)
    province = serializers.CharField()
    market = serializers.CharField()
    version = serializers.IntegerField()
    scheduled = Change(many=True)
    enabled = serializers.BooleanField(required=False)
    rules = serializers.DictField(required=False, help_text=RULES)
    timezone = serializers.CharField(required=False)
    changed_by = serializers.CharField(required=False)
    reason = serializers.CharField(required=False)
    updated_at = serializers.DateTimeField(required=False)


class Effective(Answer):
    """The policy that applies to a place; without one `found` is false and its values are null."""

    found = serializers.BooleanField()
    province = serializers.CharField()
    market = serializers.CharField(allow_null=True, help_text="The market whose policy applies, such as ALL.")
    requested_market = serializers.CharField()
    enabled = serializers.BooleanField(allow_null=True)
    rules = serializers.DictField(allow_null=True, help_text=f"Complete, defaults included: {RULES}")
    policy_id = serializers.IntegerField(allow_null=True)
    version = serializers.IntegerField(allow_null=True)
    effective_from = serializers.DateTimeField(allow_null=True)
    scheduled = Change(many=True)


class Simulated(Answer):
    """What a change would do to open tasks."""

    ok = ok()
    province = serializers.CharField()
    market = serializers.CharField()
    looked_at = serializers.IntegerField(help_text="Tasks judged.")
    moved = serializers.IntegerField(help_text="Tasks that get another time.")
    held = serializers.IntegerField(help_text="Tasks that become blocked.")
    returned = serializers.IntegerField(help_text="Blocked tasks that get a time.")
    first_at = serializers.DateTimeField(
        allow_null=True, help_text="The earliest time that is lost or gained."
    )
    complete = serializers.BooleanField(help_text="False if there are more tasks than were judged.")


FIELDS = {
    "rules": f"The keys to set: {RULES} Omitted keys get their defaults.",
    "timezone": "An IANA time zone such as America/Toronto; blank for that of the city or province.",
    "effective_from": "Schedules the change for this instant; the policy stays as it is until then.",
    "reason": "Why, for the policy's history.",
    "expected_version": "Refuses the change with `stale_version` unless the policy still has this version.",
}
DOCS = {
    "MarketPolicyViewSet.policies": Doc(
        "List market policies",
        "At most `limit` policies, by province and market.",
        answer=Policy,
        many=True,
        fields={"limit": "At most 1,000.", "market": "A market's own row; ALL is one too."},
    ),
    "MarketPolicyViewSet.effective": Doc(
        "Get the policy of a place",
        "The market's own policy, else that of ALL, at an instant. A policy that is off applies too: the "
        "gate then refuses every contact.",
        answer=Effective,
        fields={"at": "Defaults to now."},
    ),
    "MarketPolicyViewSet.upsert": Doc(
        "Create or change a market policy",
        "Omitted values stay as they are. Open tasks move to times that the new policy allows. With "
        "`effective_from` the change is only scheduled.",
        answer=Upserted,
        refusals=("stale_version", "already_scheduled", "too_many_scheduled"),
        fields=FIELDS,
    ),
    "MarketPolicyViewSet.cancel": Doc(
        "Cancel a scheduled change",
        answer=Change,
        refusals=("scheduled_change_not_found", "already_in_force"),
        fields={"id": "The `id` of a change in `scheduled`."},
    ),
    "MarketPolicyViewSet.simulate": Doc(
        "Simulate a change",
        "How many open tasks a change would move, block and unblock. Nothing is stored.",
        answer=Simulated,
        fields=FIELDS,
    ),
}
