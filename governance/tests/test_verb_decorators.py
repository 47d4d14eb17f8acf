"""A right that is declared with a verb: checked before its body, in the language of who is refused."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import translation
from django.utils.translation import gettext_lazy
from pytest_django import Settings

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Unavailable
from governance.core.verbs import Execution, needs_right, verb
from governance.golive.models import GoLiveState

pytestmark = pytest.mark.django_db

RIGHT = "governance.switch_go_live"
NOBODY, MANAGER = Actor("nobody", "VA"), Actor("boss", "MANAGER", rights=frozenset({RIGHT}))


@verb(Execution.PROD_EXEC, right=RIGHT, refusal=gettext_lazy("Only a manager switches go-live."))
def produce(what: str = "", *, by: Actor) -> str:
    assert connection.in_atomic_block
    return what or "done"


@verb(Execution.OBSERVE_ONLY)
def observe() -> str:
    return "done"


@needs_right(RIGHT)
def produce_twice(*, by: Actor) -> list[str]:
    return [produce(by=by), produce("again", by=by)]


def test_who_has_the_right_is_let_in() -> None:
    assert produce_twice(by=MANAGER) == ["done", "again"]
    assert produce("this", by=Actor.system("a job")) == "this"


def test_who_lacks_it_is_refused_with_the_verbs_own_sentence() -> None:
    with pytest.raises(Forbidden, match="Only a manager switches go-live") as refused:
        produce(by=NOBODY)
    assert refused.value.code == "not_allowed"

    with pytest.raises(Forbidden, match="Your role does not allow this"):
        produce_twice(by=NOBODY)


def test_the_sentence_is_in_the_language_of_who_is_refused() -> None:
    with translation.override("fr"), pytest.raises(Forbidden) as refused:
        produce(by=NOBODY)
    with translation.override("fr"):
        assert str(refused.value) == translation.gettext("Only a manager switches go-live.")
        assert str(refused.value) != "Only a manager switches go-live."


def test_a_switch_that_stops_the_verb_says_so_first(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=False, kill_switch_engaged=False)
    with pytest.raises(Unavailable):
        produce(by=NOBODY)


def test_entry_points_read_the_right_from_the_verb() -> None:
    assert (produce.right, produce_twice.right, observe.right) == (RIGHT, RIGHT, "")
    assert (produce.execution, observe.execution) == (Execution.PROD_EXEC, Execution.OBSERVE_ONLY)


def test_without_an_actor_nothing_is_done() -> None:
    with pytest.raises(TypeError, match="by"):
        produce()  # type: ignore[call-arg]  # what is tested


def test_a_right_cannot_be_declared_where_the_actor_could_be_missed() -> None:
    """Given by position, or left out for a default, the actor would not be seen and nobody refused."""

    def positional(by: Actor) -> None: ...

    def optional(*, by: Actor | None = None) -> None: ...

    def nobodys() -> None: ...

    for function in (positional, optional, nobodys):
        with pytest.raises(TypeError, match="no actor"):
            verb(Execution.OBSERVE_ONLY, right=RIGHT)(function)
        with pytest.raises(TypeError, match="no actor"):
            needs_right(RIGHT)(function)
