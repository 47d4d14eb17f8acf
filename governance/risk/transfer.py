"""Risk policies as a spreadsheet: a row for each engine, a column for each cap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from governance.actors import By
from governance.admin_policies import (
    TransfersPolicies,
    read_cells,
    read_number,
    read_yes,
    write_number,
    write_yes,
)
from governance.admin_transfer import Row
from governance.risk.models import RiskEngine, RiskPolicy
from governance.risk.rules import read_engine
from governance.risk.services import POLICY_FIELDS, upsert_policy

COUNT = "max_actions_per_day"
_FIELDS: dict[str, Any] = {name: RiskPolicy._meta.get_field(name) for name in POLICY_FIELDS}


def _count(text: str) -> int:
    found = read_number(text)
    if found != int(found):
        raise ValidationError(gettext("Write a whole number."))
    return int(found)


READERS = dict.fromkeys(POLICY_FIELDS, read_number) | {"enabled": read_yes, COUNT: _count}


class TransfersRiskPolicies(TransfersPolicies):
    """The risk policies' screen with its import and export."""

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
            **{name: write_number(getattr(policy, name)) for name in POLICY_FIELDS[1:-1]},
            COUNT: str(policy.max_actions_per_day),
        }

    def read(self, row: Row, which: str) -> dict[str, Any]:
        return read_cells(row, READERS)

    def upsert(self, which: str, changes: dict[str, Any], *, by: By, at: datetime, reason: str) -> RiskPolicy:
        return upsert_policy(which, changes, by=by, at=at, reason=reason)
