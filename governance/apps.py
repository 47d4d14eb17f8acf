from django.apps import AppConfig
from django.db.models.signals import post_migrate


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = "Governance"

    def ready(self) -> None:
        from governance import append_only

        post_migrate.connect(append_only.install_missing, dispatch_uid="append_only")
