"""A reservation's answers as sentences."""

from __future__ import annotations

from decimal import Decimal

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from governance.risk.rules import ACTIONS, EXPOSURE, LOSS, OPEN, Denial, Measure


def reserved_display(engine: str, amount: Decimal) -> str:
    """Return the sentence for a granted reservation."""
    return _("%(amount)s CAD are reserved for %(engine)s.") % {"amount": _money(amount), "engine": engine}


def denial_display(denial: Denial, amount: Decimal) -> str:
    """Return the sentence for a denied reservation."""
    if denial.measure is not None:
        return _cap_display(denial.engine, denial.measure, amount)
    sentences = {
        "policy_missing": _("Denied: there is no risk policy for %(engine)s. A manager can create one."),
        "policy_disabled": _("Denied: the risk policy of %(engine)s is off. A manager can switch it on."),
        "throttled": _(
            "Denied: the tripwire %(tripwire)s holds %(engine)s back until a manager resets the alert."
        ),
    }
    return sentences[denial.code] % {"engine": denial.engine, "tripwire": denial.tripwire}


def _cap_display(engine: str, measure: Measure, amount: Decimal) -> str:
    sentences = {
        EXPOSURE: _(
            "Denied: %(engine)s may reserve %(cap)s CAD a day, %(used)s are reserved, and "
            "%(amount)s more would exceed the cap."
        ),
        OPEN: _(
            "Denied: %(engine)s may have %(cap)s CAD open, %(used)s are open, and %(amount)s "
            "more would exceed the cap."
        ),
        LOSS: _(
            "Denied: %(engine)s may lose %(cap)s CAD a day, %(used)s are lost or open, and "
            "%(amount)s more would exceed the cap."
        ),
        ACTIONS: _("Denied: %(engine)s may make %(cap)s reservations a day, and %(used)s were made."),
    }
    display = str if measure.name == ACTIONS else _money
    return sentences[measure.name] % {
        "engine": engine,
        "cap": display(measure.cap),
        "used": display(measure.used),
        "amount": _money(amount),
    }


def _money(amount: Decimal) -> str:
    return number_format(amount, 2, use_l10n=True, force_grouping=True)
