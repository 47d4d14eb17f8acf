from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = _("Governance")

    def ready(self) -> None:
        from governance import append_only, hooks
        from governance.contact.querysets import laws_week
        from governance.contact.timeline import timeline
        from governance.people.querysets import managers_mail
        from governance.retention import database, periods, registry
        from governance.risk.querysets import board_figures
        from governance.runbook import checks, services  # noqa: F401  # registers the readiness checks

        hooks.told_of_trouble.register(managers_mail)
        hooks.laws_week.register(laws_week)
        hooks.checklist.register(services.checklist)
        hooks.figures.register(services.board_figures)
        hooks.timeline_of.register(timeline)
        hooks.figures.register(board_figures)
        registry.register_rules(*periods.RULES)
        post_migrate.connect(append_only.install_missing, dispatch_uid="append_only")
        post_migrate.connect(database.install_missing, dispatch_uid="retention")
