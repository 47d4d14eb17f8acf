from django.apps import AppConfig


class ValhallaConfig(AppConfig):
    name = "valhalla"
    verbose_name = "Valhalla"

    def ready(self) -> None:
        from valhalla import checks, readiness  # noqa: F401  # registers system and readiness checks
