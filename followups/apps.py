from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FollowupsConfig(AppConfig):
    name = "followups"
    verbose_name = _("Follow-ups")

    def ready(self) -> None:
        from followups import checks, retention, services  # noqa: F401  # checks registers the readiness checks
        from followups.querysets import called_area_codes, contacts_of
        from followups.timeline import timeline
        from governance.core import hooks
        from governance.retention import registry

        hooks.lead_facts.register(services.facts_of)
        hooks.contacts_of.register(contacts_of)
        hooks.called_area_codes.register(called_area_codes)
        hooks.on_suppressed.register(services.stop_for_suppressed)
        hooks.on_gate_changed.register(services.request_realigning)
        hooks.policy_would_move.register(services.would_move)
        hooks.figures.register(services.board_figures)
        hooks.open_work.register(services.open_work)
        hooks.timeline_of.register(timeline)
        registry.register_rules(*retention.RULES)
        registry.register_keeper(retention.Leads())
