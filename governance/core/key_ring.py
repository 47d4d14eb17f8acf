"""Key rings whose fingerprints the database remembers, so that a wrong or missing key is noticed.

Each key has a number: `k02:…` is number 2, and one without a number, from before keys had one, is number 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.errors import Refused
from governance.core.key_file import MOST_KEYS, number_of, read_keys

FINGERPRINT_LENGTH = 64


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a setting, and the error messages about them.

    `setting` names the current key; related settings are NAME + `S_KEPT` (the others), `_FILE` and `_IN_FILE`
    (whether they come from that file).
    """

    setting: str
    no_key: object
    not_recorded: object
    new_key: object
    kept_missing: object  # with %(number)s
    other_key: object

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the current key, then the kept ones; empty without any."""
        current = getattr(settings, self.setting)
        return (current, *getattr(settings, f"{self.setting}S_KEPT")) if current else ()

    @property
    def file(self) -> Path:
        return Path(getattr(settings, f"{self.setting}_FILE"))

    @property
    def in_file(self) -> bool:
        return bool(getattr(settings, f"{self.setting}_IN_FILE"))

    def use(self, keys: tuple[str, ...]) -> None:
        setattr(settings, f"{self.setting}S_KEPT", keys[1:])
        setattr(settings, self.setting, keys[0])

    def read_file_again(self) -> bool:
        """Reload the file if it has changed since the start; return whether it has."""
        found = read_keys(self.file) if self.in_file else ()
        if not found or found == self.keys:
            return False
        self.use(found)
        return True

    def problem(self, fingerprints: Callable[[], Mapping[int, str]], remembered: Mapping[int, str]) -> str:
        """Return a sentence if these keys are not those that the database remembers; else blank.

        Both are fingerprints by number. A key that the database does not know yet may be among the kept ones,
        so that a rotation can be prepared on every machine.
        """
        keys = self.keys
        if not keys:
            return str(self.no_key)
        ours = fingerprints()
        if ours == remembered:
            return ""
        if not remembered:
            return str(self.not_recorded)
        if any(ours.get(number, known) != known for number, known in remembered.items()):
            return str(self.other_key)
        missing = sorted(remembered.keys() - ours.keys())
        if missing:
            return str(self.kept_missing) % {"number": ", ".join(map(str, missing))}
        return "" if number_of(keys[0]) in remembered else str(self.new_key)


class KeyCheck(models.Model):
    """The fingerprint of a key, under its number. A dropped key keeps its row: no other gets its number."""

    fingerprint = models.CharField(gettext_lazy("fingerprint"), max_length=FINGERPRINT_LENGTH)
    added_at = models.DateTimeField(gettext_lazy("added"), null=True, blank=True)
    dropped_at = models.DateTimeField(gettext_lazy("dropped"), null=True, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.fingerprint[:8]

    def clean(self) -> None:
        raise ValidationError("This row is written by the program alone.")

    @classmethod
    def numbers(cls) -> list[int]:
        """Return the numbers of all keys of this database, dropped ones included, in order."""
        return list(cls._base_manager.order_by("pk").values_list("pk", flat=True))

    @classmethod
    def remembered(cls) -> dict[int, str]:
        """Return the fingerprints of the keys that are needed, by number."""
        return dict(cls._base_manager.filter(dropped_at=None).values_list("pk", "fingerprint"))

    @classmethod
    def add(cls, number: int, fingerprint: str, at: datetime) -> bool:
        """Remember a key, and return whether it is new. Raises Refused if another has, or had, its number."""
        row, added = cls._base_manager.get_or_create(
            pk=number, defaults={"fingerprint": fingerprint, "added_at": at}
        )
        if row.fingerprint != fingerprint or row.dropped_at is not None:
            raise Refused(
                "key_number_taken",
                _("Another key has the number %(number)s: take the next one.") % {"number": number},
            )
        return bool(added)


def key_number_constraint(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=models.Q(id__gte=1, id__lte=MOST_KEYS), name=name)
