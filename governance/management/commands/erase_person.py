"""``manage.py erase_person``: shows what is stored about a person, and with ``--yes`` erases it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.accounts.rules import by_user
from governance.core.actors import Actor
from governance.management.guarded import GuardedCommand
from governance.retention.erasing import Preview, erase_person, find_people, preview
from governance.retention.reasons import Why


class Command(GuardedCommand):
    help = (
        "Show what is stored about a person, found by one id, number or address, and what erasing would "
        "remove or keep. With --yes it is erased permanently. Evidence, decisions, suppressions and consents "
        "stay without anything that identifies the person."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        whom = parser.add_mutually_exclusive_group(required=True)
        whom.add_argument("--lead", default="", metavar="LEAD_ID", help="the person’s id as a lead")
        whom.add_argument("--buyer", default="", metavar="BUYER_ID", help="the person’s id as a buyer")
        whom.add_argument("--phone", default="", help="a phone number: every lead and buyer who has it")
        whom.add_argument("--email", default="", help="an e-mail address: every lead and buyer who has it")
        parser.add_argument(
            "--why",
            choices=[why.lower() for why in Why.values],
            help="requested: the person asked for it, and also goes on the do-not-contact list; not_needed; "
            "mistake: stored by mistake, twice, or as a test",
        )
        parser.add_argument("--yes", action="store_true", help="erase; without it nothing is changed")
        parser.add_argument(
            "--by", default="", metavar="USERNAME", help="the user who erases; needs the permission"
        )

    def handle(self, *args: object, **options: Any) -> None:
        if options["yes"] and not options["why"]:
            raise CommandError(_("--why is needed to erase."))
        by = self.actor(options["by"])
        found = find_people(
            lead_id=options["lead"],
            buyer_id=options["buyer"],
            phone=options["phone"],
            email=options["email"],
        )
        for kind, pk in found:
            self.show(preview(kind, pk, by=by))
        if not options["yes"]:
            self.stdout.write(_("Nothing was changed. Add --yes and --why to erase this permanently."))
            return
        for kind, pk in found:
            done = erase_person(kind, pk, why=options["why"].upper(), by=by, at=timezone.now())
            self.stdout.write(
                _("Personal information deleted: %(kind)s %(id)s, and %(rows)s related rows.")
                % {"kind": done.get_kind_display(), "id": pk, "rows": done.rows}
            )

    def show(self, seen: Preview) -> None:
        lines = [seen.person.label]
        if seen.person.running:
            lines.append(
                "  "
                + _("The person’s ladder is running. It will stop, and all its open tasks will be cancelled.")
            )
        goes, stays = _("to delete"), _("stays")
        lines += [f"  {goes:<10}{count:>6,}  {what}" for what, count in seen.goes]
        lines += [f"  {stays:<10}{count:>6,}  {what}" for what, count in seen.stays]
        if seen.sharing:
            names = ", ".join(seen.sharing)
            stay = _("Others with the same number or address, who stay: %(names)s") % {"names": names}
            lines.append(f"  {stay}")
        if seen.telling_reference:
            told = _("The id is itself a name, number or address; it stays where evidence names it.")
            lines.append(f"  {told}")
        self.stdout.write("\n".join(lines))

    def actor(self, username: str) -> Actor:
        """Return the actor: the command itself, or the named person with their own permissions."""
        correlation_id = f"erase-{uuid.uuid4().hex}"
        if not username:
            return Actor.system("erase_person", correlation_id)
        user = get_user_model()._default_manager.filter(username__iexact=username, is_active=True).first()
        if user is None:
            raise CommandError(_("--by: there is no active person %(name)s.") % {"name": username})
        return by_user(user, correlation_id=correlation_id)
