import gc

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class ValhallaAdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "valhalla.pages.admin_site.Site"


class ValhallaConfig(AppConfig):
    name = "valhalla"
    default = True
    verbose_name = "Valhalla"

    def ready(self) -> None:
        from celery.signals import beat_init, worker_init
        from django.apps import apps
        from django.db.models.signals import post_migrate

        from governance.core import client_address, hooks
        from governance.outbox.switching import paused_jobs
        from valhalla import checks, contact_key, readiness, roles, second_factor_key  # noqa: F401  # register what they answer to
        from valhalla import fresh as _fresh  # noqa: F401  # notes each sign-in

        post_migrate.connect(
            contact_key.remember_after_migrate,
            sender=apps.get_app_config("followups"),
            dispatch_uid="contact_key",
        )
        post_migrate.connect(
            second_factor_key.remember_and_seal,
            sender=apps.get_app_config("governance"),
            dispatch_uid="second_factor_key",
        )
        worker_init.connect(contact_key.refuse_to_work)
        beat_init.connect(contact_key.refuse_to_work)
        hooks.is_office.register(client_address.is_office)
        hooks.rights_of_role.provide(roles.rights_of_role)
        hooks.figures.register(lambda at: {"paused_jobs": paused_jobs()})
        gc.freeze()  # what was imported stays: no collection needs to search it
        gc.enable()
