from django.apps import AppConfig
from django.db.models.signals import post_migrate


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = "Governance"

    def ready(self) -> None:
        from governance import append_only, hooks
        from governance.people.querysets import managers_mail

        hooks.told_of_trouble.register(managers_mail)
        post_migrate.connect(append_only.install_missing, dispatch_uid="append_only")
