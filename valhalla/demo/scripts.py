"""The demo's ladder template: the script of each step, in English and in French."""

from __future__ import annotations

from dataclasses import replace

from followups.models import LadderTemplate
from followups.rules import NURTURE_STEPS, Step, read_steps
from followups.services import Rest, save_template
from governance.core.actors import Actor
from valhalla.demo.timeline import Timeline

SAID = (
    (
        "Hello, this is Maple Home Buyers. You asked about selling your house. When is a good time to talk? "
        "Reply STOP to opt out.",
        "Bonjour, ici Maisons Érable. Vous avez demandé de l’information pour vendre votre maison. Quel est "
        "un bon moment pour en parler? Répondez ARRÊT pour ne plus recevoir de textos.",
    ),
    (
        "Introduce yourself and Maple Home Buyers. Ask: are you still thinking of selling? What would you "
        "like to change about the house? When would you like to move? What price do you have in mind?",
        "Présentez-vous, ainsi que Maisons Érable. Demandez : pensez-vous toujours à vendre? Qu’est-ce qui "
        "serait à rénover? Quand aimeriez-vous déménager? Quel prix avez-vous en tête?",
    ),
    (
        "We tried to reach you about your house. We buy as is, with no commission. Is later today or "
        "tomorrow better? Reply STOP to opt out.",
        "Nous avons tenté de vous joindre au sujet de votre maison. Nous achetons telle quelle, sans "
        "commission. Préférez-vous plus tard aujourd’hui ou demain? Répondez ARRÊT pour ne plus recevoir de "
        "textos.",
    ),
    (
        "Voicemail: hello, this is Maple Home Buyers about your house. An offer takes one visit of 20 "
        "minutes. Please call us back at the number on your screen.",
        "Boîte vocale : bonjour, ici Maisons Érable, au sujet de votre maison. Une offre demande une seule "
        "visite de 20 minutes. Rappelez-nous au numéro affiché.",
    ),
    (
        "Are you still thinking of selling? A yes or a no is enough; either is fine. Reply STOP to opt out.",
        "Pensez-vous toujours à vendre? Un simple oui ou non suffit. Répondez ARRÊT pour ne plus recevoir de "
        "textos.",
    ),
    (
        "Last call for now. Ask whether another time of the year suits better, and record the date as "
        "Not now.",
        "Dernier appel pour le moment. Demandez si une autre période de l’année conviendrait mieux et "
        "inscrivez la date sous Pas maintenant.",
    ),
)
NURTURE_SAID = (
    (
        "Hello, Maple Home Buyers again. We wrote about your house three months ago. Has anything changed? "
        "Reply STOP to opt out.",
        "Bonjour, ici Maisons Érable. Nous vous avions écrit il y a trois mois au sujet de votre maison. Vos "
        "plans ont-ils changé? Répondez ARRÊT pour ne plus recevoir de textos.",
    ),
    (
        "Ask what has changed since: the house, the plans, the price.",
        "Demandez ce qui a changé depuis : la maison, les projets, le prix.",
    ),
    (
        "If you would like an offer later on, keep this number. Reply STOP to opt out.",
        "Si une offre vous intéresse plus tard, gardez ce numéro. Répondez ARRÊT pour ne plus recevoir de "
        "textos.",
    ),
)


def say_scripts(timeline: Timeline, manager: Actor) -> None:
    """Add a script to each step of the template for all provinces; its cadence stays."""
    template = LadderTemplate.objects.get(province="", market="ALL")
    save_template(
        "",
        "ALL",
        by=manager,
        at=timeline.days_ago(100),
        enabled=template.enabled,
        steps=_with(read_steps(template.steps), SAID),
        rest=Rest(None, _with(NURTURE_STEPS, NURTURE_SAID)),
        reason="Say the same thing at each step, in both languages",
    )


def _with(steps: tuple[Step, ...], said: tuple[tuple[str, str], ...]) -> list[dict[str, object]]:
    return [
        replace(step, script_en=english, script_fr=french).as_json()
        for step, (english, french) in zip(steps, said, strict=True)
    ]
