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
        from governance import hooks
        from governance.outbox.switching import paused_jobs
        from valhalla import checks, idle, readiness, second_factor, sign_ins  # noqa: F401  # register what they answer to

        hooks.figures.register(lambda at: {"paused_jobs": paused_jobs()})
