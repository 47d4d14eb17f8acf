"""What key rings in settings have in common: create a key for a database that needs none, add, drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.apps import apps
from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from governance.core.key_file import MOST_KEYS, make_key_file, new_key, number_of, read_keys, write_keys
from governance.core.key_ring import KeyRing


class KeyProblem(CommandError):
    """The key is missing or wrong; the message is one sentence that says what to do."""


def holds_rows(connection: BaseDatabaseWrapper, names: Sequence[str]) -> bool:
    """Return whether a table of these models, given by label, exists and has a row."""
    tables = set(connection.introspection.table_names())
    models = [apps.get_model(name) for name in names]
    return any(
        model._meta.db_table in tables and model._base_manager.using(connection.alias).exists()
        for model in models
    )


def make_first_key(ring: KeyRing) -> None:
    ring.use((make_key_file(ring.file),))


@dataclass(frozen=True, slots=True)
class Rotation:
    """A key rotation: the keys that the database knows, and what an interrupted rotation left to do."""

    ring: KeyRing
    problem: Callable[[], str]
    known_numbers: Callable[[], list[int]]
    unfinished: Callable[[int], bool]

    def add(self, remember: Callable[[int], None]) -> int:
        """Add a key, make it the current one and return its number.

        If the keys are in the file, the key is created here; otherwise the setting already has the new key,
        and the kept ones the others. An interrupted rotation is finished without creating a further key.
        Raises KeyProblem with what to do.
        """
        ring = self.ring
        keys = self._keys_of_file() if ring.in_file else ring.keys
        if keys:
            ring.use(keys)
        self.require(but=ring.new_key)
        number = number_of(keys[0])
        if number not in self.known_numbers():
            remember(number)
        elif not self.unfinished(number):
            raise KeyProblem(
                _(
                    "%(setting)s is key %(number)s of this database already: set %(setting)s to a new one, "
                    "such as %(new)s, and %(setting)sS_KEPT to the present keys, separated by spaces, and "
                    "run this again."
                )
                % {"setting": ring.setting, "number": number, "new": self._new_key()}
            )
        if ring.in_file:
            write_keys(ring.file, keys)
        return number

    def require(self, but: object = "") -> None:
        """Raise KeyProblem unless the keys are the database's, or their only problem is `but`."""
        problem = self.problem()
        if problem and problem != str(but):
            raise KeyProblem(problem)

    def forget(self, number: int) -> None:
        """Remove a dropped key from the file; operators remove it from the environment."""
        if self.ring.in_file:
            keys = read_keys(self.ring.file)
            write_keys(self.ring.file, [key for key in keys if number_of(key) != number])
            self.ring.read_file_again()

    def _new_key(self) -> str:
        number = max(self.known_numbers()) + 1
        if number > MOST_KEYS:
            raise KeyProblem(_("A database takes %(count)s keys at most.") % {"count": MOST_KEYS})
        return f"k{number:02}:{new_key()}"

    def _keys_of_file(self) -> tuple[str, ...]:
        """Return the file's keys, starting with the one for this rotation, which is already in the file.

        The file is written before the database, which must never require a key that is stored nowhere.
        """
        self.ring.read_file_again()
        self.require(but=self.ring.new_key)
        known = self.known_numbers()
        keys = read_keys(self.ring.file)
        numbered = {number_of(key): key for key in keys}
        waiting = [numbered[number] for number in numbered if number not in known]
        if waiting:
            new = waiting[0]
        elif self.unfinished(max(known)):
            new = numbered[max(known)]
        else:
            new = self._new_key()
            write_keys(self.ring.file, [*keys, new])
        return (new, *(key for key in keys if key != new))
