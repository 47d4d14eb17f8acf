from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OffersConfig(AppConfig):
    name = "offers"
    verbose_name = _("Offers")

    def ready(self) -> None:
        from governance.core import hooks
        from governance.retention import registry
        from offers import checks, retention  # noqa: F401  # checks registers the readiness checks
        from offers.services import board_figures, standing_offer
        from offers.timeline import timeline

        hooks.figures.register(board_figures)
        hooks.timeline_of.register(timeline)
        hooks.standing_offer.register(standing_offer)
        registry.register_rules(*retention.RULES)
        registry.register_traces(retention.traces_of)
        registry.register_stays(retention.stays_of)
