"""Forms of the due-task pages. Times are in the lead's local time, not the reader's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from followups.models import FollowUpTask
from followups.services import Completion
from followups.services.consents import LONGEST_REFERENCE, LONGEST_WORDING, RECORDING, REPLY
from followups.wording import NEXT, NOTE_PART, OUTCOMES
from governance.core.channels import CALL, CHANNEL_CHOICES, CHANNELS
from governance.core.errors import Refused
from governance.core.moments import local
from governance.core.places import Province

NOTE_COUNTED_FROM = 3500  # characters, from where the page counts them
TYPED = "%Y-%m-%dT%H:%M"
INBOUND: Final = ("REACHED", "REPLIED", "OPTED_OUT")


def _offer(form: forms.Form, name: str, choices: list[tuple[str, object]]) -> None:
    """Set the choices of a form's field."""
    field = form.fields[name]
    if not isinstance(field, forms.ChoiceField):
        raise TypeError(f"{name} is no field of choices")
    field.choices = choices


class LocalTimeField(forms.DateTimeField):
    """A time in the time zone `zone`; its value is the instant in UTC."""

    widget = forms.DateTimeInput(format=TYPED, attrs={"type": "datetime-local"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.zone = "UTC"

    def prepare_value(self, value: object) -> object:
        return local(value, self.zone) if isinstance(value, datetime) and value.tzinfo else value

    def to_python(self, value: object) -> datetime | None:
        if value in self.empty_values:
            return None
        try:
            wall = datetime.fromisoformat(str(value).strip()[:19])
        except ValueError:
            raise ValidationError(
                _("Enter a date and time such as 2026-11-27T19:50."), code="invalid"
            ) from None
        if wall.tzinfo is not None or not 2000 <= wall.year < 2100:
            raise ValidationError(_("Enter a date between 2000 and 2100."), code="invalid")
        at = wall.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)
        if local(at, self.zone).replace(tzinfo=None) != wall:
            raise ValidationError(
                _("This time does not exist there: the clocks change then."), code="invalid"
            )
        return at


class NoteField(forms.CharField):
    """The note on an outcome. It is never cut and never refused for its length."""

    widget = forms.Textarea(attrs={"rows": 2})
    counted_from, part = NOTE_COUNTED_FROM, NOTE_PART

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(label=_("Note"), required=False, **kwargs)


class RefusableForm(forms.Form):
    """A form that shows a service's refusal at the fields that it names."""

    def refuse(self, refusal: Refused) -> None:
        """Show a service's refusal at the fields that it names, else above them."""
        for name, sentences in refusal.errors.items():
            self.add_error(name if name in self.fields else None, [str(one) for one in sentences])
        if not refusal.errors:
            self.add_error(None, str(refusal))


class OfALead(RefusableForm):
    """A form whose times are in one lead's local time."""

    def __init__(self, *args: Any, zone: str, at: datetime, **kwargs: Any) -> None:
        self.zone = zone
        super().__init__(*args, **kwargs)
        now = f"{local(at, zone):{TYPED}}"
        for name, field in self.fields.items():
            if isinstance(field, LocalTimeField):
                field.zone = zone
                field.widget.attrs["max" if name == "contacted_at" else "min"] = now


class CompleteForm(OfALead):
    """The outcome of a contact."""

    outcome = forms.ChoiceField(label=_("What happened?"), choices=())
    next = forms.ChoiceField(
        label=_("What did they ask for?"),
        required=False,
        choices=(),
        help_text=_("If left blank, a closer takes over."),
    )
    next_at = LocalTimeField(
        label=_("When?"),
        required=False,
        help_text=_(
            "Needed for a callback and for “not now”. A callback is moved to the next permitted time."
        ),
    )
    note = NoteField(strip=False, widget=forms.Textarea(attrs={"rows": 2, "data-key": "w"}))
    contacted_at = LocalTimeField(
        label=_("When was the contact?"),
        required=False,
        help_text=_("Empty: when you started it, otherwise now. More than 15 minutes ago needs a note."),
    )
    happened = forms.BooleanField(
        label=_("The contact took place anyway"),
        required=False,
        help_text=_("It is recorded as against the rules, and managers are notified."),
    )
    override_reason = forms.CharField(
        label=_("Or: why the refusal is overridden"),
        required=False,
        max_length=500,
        help_text=_("Overrides our own rules only, never the law or an opt-out."),
    )

    def __init__(self, *args: Any, channel: str, may_override: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row = CHANNELS.get(channel)
        names: Iterable[str] = row.outcomes if row else OUTCOMES  # without a channel any outcome is valid
        _offer(self, "outcome", [(name, OUTCOMES[name]) for name in names])
        self.fields["outcome"].initial = row.default_outcome if row else None
        _offer(self, "next", [("", _("a closer takes over")), *NEXT.items()])
        if not may_override:
            del self.fields["override_reason"]

    def completion(self) -> Completion:
        said = self.cleaned_data
        return Completion(
            outcome=said["outcome"],
            next=said["next"],
            next_at=said["next_at"],
            note=said["note"].strip(),
            contacted_at=said["contacted_at"],
            override_reason=said.get("override_reason", ""),
            happened=said["happened"],
            source=FollowUpTask.Source.PAGE_BUTTON,
        )


class ConsentForm(RefusableForm):
    """A person's consent, with the evidence."""

    channel = forms.ChoiceField(label=_("They agreed to"), choices=CHANNEL_CHOICES)
    wording = forms.CharField(
        label=_("What did they agree to?"),
        max_length=LONGEST_WORDING,
        help_text=_("In words a regulator can follow; no phone number, address or name."),
    )
    evidence = forms.ChoiceField(
        label=_("Evidence"),
        choices=[(RECORDING, _("Recording of the call")), (REPLY, _("Their reply"))],
    )
    reference = forms.CharField(
        label=_("Where is it kept?"),
        max_length=LONGEST_REFERENCE,
        help_text=_("The number of the recording, or the date of the reply."),
    )


class SnoozeForm(OfALead):
    """The time until which a task is snoozed."""

    until = LocalTimeField(
        label=_("Put aside until"),
        help_text=_("Within 14 days. Moved to the next permitted time; the SLA clock keeps running."),
    )


class SkipForm(OfALead):
    """The reason for skipping a task."""

    reason = forms.CharField(label=_("Why is it skipped?"), max_length=200)


class InboundForm(OfALead):
    """The outcome of an inbound contact."""

    channel = forms.ChoiceField(label=_("How did they reach us?"), choices=CHANNEL_CHOICES, initial=CALL)
    outcome = forms.ChoiceField(
        required=False, choices=[("", ""), *[(name, OUTCOMES[name]) for name in INBOUND]]
    )
    next = forms.ChoiceField(required=False, choices=[("", ""), *NEXT.items()])
    next_at = LocalTimeField(
        label=_("When?"),
        required=False,
        help_text=_("For a callback and for “not now”, in the lead’s local time."),
    )
    note = NoteField()

    def values(self) -> dict[str, Any]:
        return {**self.cleaned_data, "note": self.cleaned_data["note"].strip()}


class ReassignForm(forms.Form):
    """Whose open tasks are reassigned to whom, and why."""

    whose = forms.ChoiceField(label=_("All open tasks of"))
    owner = forms.ChoiceField(label=_("go to"))
    reason = forms.CharField(label=_("Why?"), max_length=200)

    def offer(self, names: Sequence[str]) -> None:
        """Offer these people, and "unassigned", on either side."""
        for name, none in (
            ("whose", _("nobody (unassigned tasks)")),
            ("owner", _("nobody: offered to everybody")),
        ):
            _offer(self, name, [*((one, one) for one in names), ("-", none)])

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        for name in ("whose", "owner"):
            if said.get(name) == "-":
                said[name] = ""
        if "whose" in said and said.get("whose") == said.get("owner"):
            self.add_error("owner", _("Choose somebody other than the current owner."))
        return said


class QueueForm(forms.Form):
    """The filters of the due list."""

    whose = forms.ChoiceField(
        label=_("Whose"),
        required=False,
        choices=[("", _("everything I may work on")), ("held", _("claimed by me")), ("mine", _("my own"))],
    )
    province = forms.ChoiceField(
        label=_("Province"), required=False, choices=[("", _("all")), *Province.choices]
    )
    channel = forms.ChoiceField(
        label=_("Channel"), required=False, choices=[("", _("all")), *CHANNEL_CHOICES]
    )
    contactable = forms.ChoiceField(
        label=_("Contact now"),
        required=False,
        choices=[("", _("all")), ("yes", _("allowed")), ("no", _("not allowed"))],
    )
    order = forms.ChoiceField(
        label=_("Order"), required=False, choices=[("", _("most urgent first")), ("due", _("oldest first"))]
    )

    def __init__(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__({name: data.get(name, "") for name in self.base_fields}, **kwargs)

    def chosen(self) -> dict[str, str]:
        """Return the filters; ignore invalid values."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}
