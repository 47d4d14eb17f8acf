"""The table of channels: every difference between a text message, a call and an e-mail.

A new channel is a row of `CHANNELS`, a migration of `governance` and one of `followups`, for the choices.
Rules for calls only (the national list, redialling, callbacks) stay where they are applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

PHONE, EMAIL = "PHONE", "EMAIL"  # the kinds of contact points
CALL: Final = "CALL"
CODE_LENGTH = 5  # of the columns that name a channel


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel and the kind of contact points that it reaches.

    `outcomes` are the possible outcomes of a task, the likeliest first; `default_outcome` applies if none is
    given. `link` is the URL scheme that opens the phone, messages or mail. A `written` channel carries a
    text, and needs consent under Canada's anti-spam law (S.C. 2010, c. 23).
    """

    kind: str
    name: StrOrPromise
    noun: StrOrPromise
    plural: StrOrPromise
    start: StrOrPromise
    outcomes: tuple[str, ...]
    default_outcome: str
    link: str
    written: bool


# In the order in which they are listed everywhere.
CHANNELS: Final[dict[str, Channel]] = {
    "SMS": Channel(
        kind=PHONE,
        name=gettext_lazy("Text message"),
        noun=gettext_lazy("text message"),
        plural=gettext_lazy("text messages"),
        start=gettext_lazy("Start the text message"),
        outcomes=("SENT", "REPLIED", "REACHED", "WRONG_NUMBER", "OPTED_OUT"),
        default_outcome="SENT",
        link="sms",
        written=True,
    ),
    CALL: Channel(
        kind=PHONE,
        name=gettext_lazy("Call"),
        noun=gettext_lazy("call"),
        plural=gettext_lazy("calls"),
        start=gettext_lazy("Start the call"),
        outcomes=("NO_ANSWER", "LEFT_MESSAGE", "REACHED", "REPLIED", "WRONG_NUMBER", "OPTED_OUT"),
        default_outcome="NO_ANSWER",
        link="tel",
        written=False,
    ),
    "EMAIL": Channel(
        kind=EMAIL,
        name=gettext_lazy("E-mail"),
        noun=gettext_lazy("e-mail"),
        plural=gettext_lazy("e-mail"),
        start=gettext_lazy("Start the e-mail"),
        outcomes=("SENT", "REPLIED", "REACHED", "WRONG_NUMBER", "OPTED_OUT"),
        default_outcome="SENT",
        link="mailto",
        written=True,
    ),
}

CHANNEL_CHOICES = [(code, channel.name) for code, channel in CHANNELS.items()]
WRITTEN_CHOICES = [(code, channel.noun) for code, channel in CHANNELS.items() if channel.written]


def channel_name(code: str) -> StrOrPromise:
    """Return a channel's name; its code if the channel no longer exists."""
    return CHANNELS[code].name if code in CHANNELS else code
