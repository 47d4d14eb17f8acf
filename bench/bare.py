"""The least that a Django application can do per request: one view, one prepared statement, no middleware.

Every figure is also given as a multiple of this one's, measured in the same run on the same server.
"""

from __future__ import annotations

import os

import django
import environ
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path

if not settings.configured:
    database = environ.Env.db_url_config(os.environ["DATABASE_URL"])
    database |= {"CONN_MAX_AGE": None, "OPTIONS": {"server_side_binding": True, "prepare_threshold": 0}}
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": database},
        ROOT_URLCONF=__name__,
        SECRET_KEY="the bare view signs nothing",
        USE_TZ=True,
    )
    django.setup()


def score(request: HttpRequest, lead: int) -> JsonResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT external_id, score FROM followups_lead WHERE id = %s", [lead])
        found = cursor.fetchone()
    return JsonResponse({"lead_id": found and found[0], "score": found and float(found[1])})


urlpatterns = [path("leads/<int:lead>", score)]
application = WSGIHandler()
