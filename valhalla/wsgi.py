"""The WSGI entry point for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valhalla.settings")

application = get_wsgi_application()

from valhalla.http_request import Request  # noqa: E402  # the settings come first

application.request_class = Request

from django.urls import reverse  # noqa: E402  # as below

reverse("login")  # resolves all URLs now: else the first requests of each process wait for it together

from valhalla.web_start import refuse_what_does_not_fit  # noqa: E402  # the settings come first

refuse_what_does_not_fit()
