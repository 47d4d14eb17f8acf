from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BuyersConfig(AppConfig):
    name = "buyers"
    verbose_name = _("Buyers")

    def ready(self) -> None:
        from buyers import checks  # noqa: F401  # registers the readiness checks
        from buyers.figures import board_figures
        from buyers.retention import Buyers
        from buyers.services import liquidity_at
        from governance.core import hooks
        from governance.retention import registry

        hooks.liquidity_of.register(liquidity_at)
        hooks.figures.register(board_figures)
        registry.register_keeper(Buyers())
