"""Checks that run once before the web server forks, and can keep it from starting."""

from __future__ import annotations

from valhalla.contact_key import asking_before_the_fork, refuse_other_key
from valhalla.migrating import refuse_a_newer_database


def refuse_what_does_not_fit() -> None:
    """Refuse another contact key, and a database that a newer release has changed.

    Raises KeyProblem, NewerDatabase.
    """
    refuse_other_key()
    with asking_before_the_fork():
        refuse_a_newer_database()
