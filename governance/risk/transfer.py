"""Risk policies as a spreadsheet: a row for each engine, a column for each cap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Actor
from governance.core.admin.policies import (
    EMPTIED,
    TransfersPolicies,
    read_cells,
    read_number,
    read_yes,
    write_number,
    write_yes,
)
from governance.core.admin.transfer import Row
from governance.risk.models import RiskEngine, RiskPolicy
from governance.risk.rules import ZERO, read_engine
from governance.risk.services import POLICY_FIELDS, upsert_policy

COUNT = "max_actions_per_day"
NO_CAP = ("no cap", "sans plafond", "aucun plafond", *EMPTIED)
_FIELDS: dict[str, Any] = {name: RiskPolicy._meta.get_field(name) for name in POLICY_FIELDS}


def _cap(text: str) -> Decimal:
    """Return a cap, 0 for none. A bare 0 is refused: it could stand for nothing at all."""
    if text.casefold() in NO_CAP or text.casefold() == gettext("no cap").casefold():
        return ZERO
    found = read_number(text)
    if not found:
        raise ValidationError(gettext("Enter more than 0, or “no cap”."))
    return found


def _count(text: str) -> int:
    found = _cap(text)
    if found != int(found):
        raise ValidationError(gettext("Enter a whole number."))
    return int(found)


def _written(cap: Decimal | int) -> str:
    return write_number(Decimal(cap)) if cap else gettext("no cap")


READERS = dict.fromkeys(POLICY_FIELDS, _cap) | {"enabled": read_yes, COUNT: _count}


class TransfersRiskPolicies(TransfersPolicies):
    """Import and export for the risk policies' admin class."""

    key = "engine"
    key_columns: ClassVar[Any] = (("engine", _("engine")),)
    policy_columns: ClassVar[Any] = tuple((name, field.verbose_name) for name, field in _FIELDS.items())

    def which(self, row: Row) -> str:
        try:
            return read_engine(row["engine"])
        except ValidationError as wrong:
            raise ValidationError({"engine": wrong.messages}) from wrong

    def known(self, which: str) -> models.QuerySet[RiskPolicy]:
        return RiskPolicy.objects.filter(engine=which)

    def hold(self, rows: Sequence[Row]) -> None:
        RiskEngine.objects.hold(*(row["engine"].strip().upper() for row in rows))

    def key_cells(self, policy: RiskPolicy) -> list[str]:
        return [policy.engine]

    def cells_of(self, policy: RiskPolicy) -> dict[str, str]:
        return {
            "enabled": write_yes(policy.enabled),
            **{name: _written(getattr(policy, name)) for name in POLICY_FIELDS[1:]},
        }

    def read(self, row: Row, which: str) -> dict[str, Any]:
        return read_cells(row, READERS)

    def upsert(
        self, which: str, changes: dict[str, Any], *, by: Actor, at: datetime, reason: str
    ) -> RiskPolicy:
        return upsert_policy(which, changes, by=by, at=at, reason=reason)
