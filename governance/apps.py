from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = _("Governance")

    def ready(self) -> None:
        from governance.accounts import (  # noqa: F401  # some answer to signals
            idle,
            last_manager,
            second_step,
            security_log,
            sessions,
        )
        from governance.accounts.querysets import managers_mail
        from governance.accounts.rules import by_user, rights_at
        from governance.contact.querysets import city_names, laws_week
        from governance.contact.timeline import timeline
        from governance.core import append_only, hooks
        from governance.golive.services import admit
        from governance.kpi.services import emit_kpi
        from governance.outbox.services import answer_each_once, answer_once
        from governance.retention import database, periods, registry
        from governance.risk.querysets import board_figures
        from governance.runbook import checks, services  # noqa: F401  # registers the readiness checks

        hooks.admit.provide(admit)
        hooks.actor_of.provide(by_user)
        hooks.rights_at.provide(rights_at)
        hooks.answer_once.provide(answer_once)
        hooks.answer_each_once.provide(answer_each_once)
        hooks.emit_kpi.provide(emit_kpi)
        hooks.told_of_trouble.register(managers_mail)
        hooks.laws_week.register(laws_week)
        hooks.city_names.register(city_names)
        hooks.checklist.register(services.checklist)
        hooks.figures.register(services.board_figures)
        hooks.timeline_of.register(timeline)
        hooks.figures.register(board_figures)
        registry.register_rules(*periods.RULES)
        post_migrate.connect(append_only.install_missing, dispatch_uid="append_only")
        post_migrate.connect(database.install_missing, dispatch_uid="retention")
        post_migrate.connect(last_manager.install_missing, dispatch_uid="last_manager")
