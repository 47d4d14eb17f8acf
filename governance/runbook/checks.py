"""Governance's readiness checks; each pack has its own. Registered in `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from kombu import Connection

from governance.accounts import last_manager
from governance.accounts.models import SecondFactorKey
from governance.accounts.querysets import managers
from governance.contact.clock import zone_data_is_current
from governance.contact.do_not_call import ending_lists, newest_list, uncovered_area_codes
from governance.contact.national_list import LASTS_DAYS, days_left
from governance.contact.services import hash_key_problem
from governance.contact.statements import unstated_channels
from governance.core import append_only
from governance.core.places import ALL, Province
from governance.golive.services import state
from governance.heimdall.models import HeimdallPolicy
from governance.heimdall.rules import BUYER_MATCH, CAPITAL_ROUTE, FOLLOWUP_NEXT_ACTION, WHOLESALE_OFFER
from governance.kpi.names import VITAL
from governance.market.querysets import listed_policies
from governance.outbox.services import BEAT_WITHIN, last_beat
from governance.risk.models import RiskPolicy
from governance.risk.querysets import open_throttles
from governance.risk.rules import GLOBAL
from governance.runbook import schema
from governance.runbook.backups import newest_backup
from governance.runbook.registry import Finding, Severity, check
from governance.tripwire.models import RegressionPolicy

BACKUP_WITHIN = timedelta(hours=36)  # a night's backup may run late
BROKER_SECONDS = 2
SHORTEST_KEY = 50
MOST_NAMED = 50  # area codes in one sentence
ENGINES = (GLOBAL, "WHOLESALE", "CAPITAL", "NOTIFY")
DOMAINS = (WHOLESALE_OFFER, BUYER_MATCH, CAPITAL_ROUTE, FOLLOWUP_NEXT_ACTION)

BLOCKER, WARN, INFO = Severity.BLOCKER, Severity.WARN, Severity.INFO


# --- blockers -----------------------------------------------------------------------------------------------


@check("go_live_checklist", BLOCKER, gettext_lazy("Switches are enforced, and evidence is protected"))
def go_live_checklist(at: datetime) -> list[Finding]:
    """Check everything that no other check covers."""
    return list(_checklist())


def _checklist() -> Iterator[Finding]:
    if not settings.GO_LIVE_ENFORCE:
        yield Finding(
            _("Go-live and the kill switch are not enforced: set GO_LIVE_ENFORCE=1 or ENV=production."),
            {"setting": "GO_LIVE_ENFORCE"},
        )
    if not managers().exists():
        yield Finding(_("There is no active manager: nobody could release the kill switch."))
    missing = append_only.missing(connection)
    if missing:
        yield Finding(
            _("Rows that are written once are not guarded by the database: run manage.py migrate."),
            {"triggers": missing},
        )
    unguarded = last_manager.missing(connection)
    if unguarded:
        yield Finding(
            _("The last active manager is not guarded by the database: run manage.py migrate."),
            {"triggers": unguarded},
        )
    if problem := hash_key_problem():
        yield Finding(problem, {"setting": "CONTACT_HASH_KEY"})


@check("second_factor_key", BLOCKER, gettext_lazy("Second factors can be read"))
def second_factor_key(at: datetime) -> Finding | None:
    """Check the second factor key: without it app codes are refused, and nobody enrols."""
    problem = SecondFactorKey.problem()
    return Finding(problem, {"setting": "SECOND_FACTOR_KEY"}) if problem else None


@check(
    "kill_switch_clear",
    BLOCKER,
    gettext_lazy("The kill switch is released"),
    screen="admin:governance_golivestate_changelist",
)
def kill_switch_clear(at: datetime) -> Finding | None:
    now = state()
    if not now.kill_switch_engaged:
        return None
    return Finding(
        _("The kill switch is engaged by %(name)s: %(reason)s")
        % {"name": now.changed_by or "–", "reason": now.reason or "–"},
        {"since": now.updated_at, "by": now.changed_by},
    )


@check("env_sanity", BLOCKER, gettext_lazy("The environment is set up for production"))
def env_sanity(at: datetime) -> list[Finding]:
    """Check ENV, the secret key, debug off, hosts."""
    return list(_environment())


def _environment() -> Iterator[Finding]:
    if not settings.PRODUCTION:
        yield Finding(
            _("ENV is %(env)s: set ENV=production.") % {"env": settings.ENV},
            {"setting": "ENV", "value": settings.ENV},
        )
    if settings.DEBUG:
        yield Finding(_("DEBUG is on: error pages would show the program’s internals."), {"setting": "DEBUG"})
    key = settings.SECRET_KEY
    if len(key) < SHORTEST_KEY or len(set(key)) < 5 or key.startswith("django-insecure-"):
        yield Finding(
            _("SECRET_KEY is too weak: use %(length)s random characters or more.") % {"length": SHORTEST_KEY},
            {"setting": "SECRET_KEY"},
        )
    hosts = settings.ALLOWED_HOSTS
    if not hosts or any(host.strip(".") in {"*", ""} for host in hosts):
        yield Finding(
            _("ALLOWED_HOSTS must name the hosts that are served."),
            {"setting": "ALLOWED_HOSTS", "value": hosts},
        )


@check(
    "risk_policies_present",
    BLOCKER,
    gettext_lazy("Every engine has its risk policy"),
    screen="admin:governance_riskpolicy_changelist",
)
def risk_policies_present(at: datetime) -> Finding | None:
    """Check that risk policies exist; one that is off counts, since it denies every reservation."""
    missing = sorted(
        set(ENGINES) - set(RiskPolicy.objects.filter(engine__in=ENGINES).values_list("engine", flat=True))
    )
    if not missing:
        return None
    return Finding(
        _("No risk policy for: %(engines)s.") % {"engines": ", ".join(missing)},
        {"engines": missing},
    )


@check(
    "regression_policies_present",
    BLOCKER,
    gettext_lazy("Every KPI has its tripwire"),
    screen="admin:governance_regressionpolicy_changelist",
)
def regression_policies_present(at: datetime) -> Finding | None:
    """Check that the vital metrics have tripwires; one that is off counts, as a manager's decision."""
    metrics = [metric.name for metric in VITAL]
    there = set(RegressionPolicy.objects.filter(metric__in=metrics).values_list("domain", "metric"))
    missing = ["/".join(metric.key) for metric in VITAL if metric.key not in there]
    if not missing:
        return None
    return Finding(
        _("No tripwire watches: %(metrics)s.") % {"metrics": ", ".join(missing)}, {"metrics": missing}
    )


@check(
    "heimdall_charter_present",
    BLOCKER,
    gettext_lazy("Every Heimdall domain has its policy"),
    screen="admin:governance_heimdallpolicy_changelist",
)
def heimdall_charter_present(at: datetime) -> Finding | None:
    """Check that every domain has its minimums for machine recommendations; production use may be off."""
    there = HeimdallPolicy.objects.filter(domain__in=DOMAINS).values_list("domain", flat=True)
    missing = sorted(set(DOMAINS) - set(there))
    if not missing:
        return None
    return Finding(
        _("No Heimdall policy for: %(domains)s.") % {"domains": ", ".join(missing)},
        {"domains": missing},
    )


@check(
    "market_policies_present",
    BLOCKER,
    gettext_lazy("Every province has its market policy"),
    screen="admin:governance_marketpolicy_changelist",
)
def market_policies_present(at: datetime) -> list[Finding]:
    """Check that thirteen provinces have contact windows. A policy that is off counts."""
    windows = {
        policy.province: policy.rules.get("contact_windows_local")
        for policy in listed_policies(None, ALL, None)
    }
    missing = [province for province in Province.values if province not in windows]
    never = [province for province, found in windows.items() if not found]
    found = []
    if missing:
        found.append(
            Finding(
                _("No market policy for: %(provinces)s.") % {"provinces": ", ".join(missing)},
                {"provinces": missing},
            )
        )
    if never:
        found.append(
            Finding(
                _("No contact windows, so nobody may ever be contacted, in: %(provinces)s.")
                % {"provinces": ", ".join(never)},
                {"provinces": never},
            )
        )
    return found


@check(
    "consent_stated",
    BLOCKER,
    gettext_lazy("How consent is obtained is stated"),
    screen="admin:governance_consentstatement_changelist",
)
def consent_stated(at: datetime) -> Finding | None:
    missing = unstated_channels()
    if not missing:
        return None
    return Finding(
        _(
            "Nobody has said how consent is obtained for: %(channels)s. A manager states it in "
            "administration, with a reason."
        )
        % {"channels": ", ".join(missing)},
        {"channels": missing},
    )


@check(
    "area_codes_covered",
    BLOCKER,
    gettext_lazy("Every area code that is called has a do-not-call list"),
    screen="admin:governance_areacodestatement_changelist",
)
def area_codes_covered(at: datetime) -> Finding | None:
    """Check that each area code has a list, fresh or not, or a manager's statement on exempt numbers."""
    missing = uncovered_area_codes()
    if not missing:
        return None
    return Finding(
        _(
            "Open calls go to area codes without a national do-not-call list: %(area_codes)s. Import the "
            "lists, or let a manager state in administration, with a reason, that only exempt numbers are "
            "called there."
        )
        % {"area_codes": ", ".join(missing[:MOST_NAMED])},
        {"area_codes": missing},
    )


@check("migrations_applied", BLOCKER, gettext_lazy("The database matches the program"))
def migrations_applied(at: datetime) -> list[Finding]:
    found = []
    if names := schema.waiting():
        text = ngettext(
            "%(count)s migration is pending: run manage.py migrate.",
            "%(count)s migrations are pending: run manage.py migrate.",
            len(names),
        )
        found.append(Finding(text % {"count": len(names)}, {"migrations": names[:20]}))
    if names := schema.of_a_newer_release():
        text = _("A newer release has changed the database (%(name)s): start that release.")
        found.append(Finding(text % {"name": names[-1]}, {"migrations": names[:20]}))
    return found


@check("zone_data_current", BLOCKER, gettext_lazy("Time zone data is up to date"))
def zone_data_current(at: datetime) -> Finding | None:
    if zone_data_is_current():
        return None
    return Finding(
        _("The time zone data is too old, so that calls would be an hour off: update the package tzdata.")
    )


@check(
    "jobs_alive",
    BLOCKER,
    gettext_lazy("Jobs are running"),
    screen="schedules",
)
def jobs_alive(at: datetime) -> Finding | None:
    last = last_beat()
    if last is not None and abs(at - last) < BEAT_WITHIN:
        return None
    if last is None:
        return Finding(_("The jobs have never run: start the job process (make serve starts it)."))
    if last > at:
        return Finding(
            _("The jobs last ran at %(when)s UTC, which is in the future: set this machine's clock.")
            % {"when": f"{last:%Y-%m-%d %H:%M}"},
            {"last_beat": last},
        )
    return Finding(
        _("The jobs have not run since %(when)s UTC: start the job process again.")
        % {"when": f"{last:%Y-%m-%d %H:%M}"},
        {"last_beat": last},
    )


# --- warnings -----------------------------------------------------------------------------------------------


@check("sqlite_in_production", WARN, gettext_lazy("The database suits several users"))
def sqlite_in_production(at: datetime) -> Finding | None:
    if not settings.PRODUCTION or connection.vendor != "sqlite":
        return None
    return Finding(
        _(
            "SQLite has one writer: it serves a few people on one machine. For more, set "
            "DATABASE_URL to PostgreSQL."
        )
    )


@check(
    "no_throttle_engaged",
    WARN,
    gettext_lazy("No engine is held back"),
    screen="admin:governance_riskthrottle_changelist?released_at__isempty=1",
)
def no_throttle_engaged(at: datetime) -> list[Finding]:
    return [
        Finding(
            _("%(engine)s is held back by the tripwire %(tripwire)s.")
            % {"engine": throttle.engine, "tripwire": throttle.tripwire},
            {"engine": throttle.engine, "tripwire": throttle.tripwire, "since": throttle.since},
        )
        for throttle in open_throttles()[:20]
    ]


@check("broker_reachable", WARN, gettext_lazy("The broker answers"))
def broker_reachable(at: datetime) -> Finding | None:
    if not settings.BROKER_CONFIGURED:
        return Finding(_("No broker is set up: one process runs the jobs itself."), severity=INFO)
    options = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    with Connection(
        settings.CELERY_BROKER_URL, connect_timeout=BROKER_SECONDS, transport_options=options
    ) as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)
        except Exception as problem:  # each transport has its own exceptions
            return Finding(
                _("No broker answers at %(address)s: jobs wait until it does.")
                % {"address": broker.as_uri()},
                {"error": type(problem).__name__},
            )
    return None


@check(
    "do_not_call_list_fresh",
    WARN,
    gettext_lazy("The national do-not-call lists are up to date"),
    screen="admin:governance_donotcallimport_changelist",
)
def do_not_call_list_fresh(at: datetime) -> list[Finding]:
    """Warn a week before a list expires. Imports without recorded area codes count as one list."""
    newest = newest_list()
    if newest is None:
        return [
            Finding(_("The national do-not-call list was never imported: run manage.py import_do_not_call."))
        ]
    of_codes = list(ending_lists(at)[:MOST_NAMED])
    stale = [row for row in of_codes if days_left(row.list_date, at) < 0]
    soon = [row for row in of_codes if row not in stale]
    found = []
    if stale:
        codes = [row.area_code for row in stale]
        found.append(
            Finding(
                _(
                    "The national do-not-call list is older than 31 days, so calls are blocked, in: "
                    "%(area_codes)s."
                )
                % {"area_codes": ", ".join(codes)},
                {"area_codes": codes, "list_date": stale[0].list_date},
            )
        )
    if soon:
        codes = [row.area_code for row in soon]
        left = days_left(soon[0].list_date, at)
        text = ngettext(
            "In %(days)s day the national do-not-call list becomes too old for calls in: %(area_codes)s.",
            "In %(days)s days the national do-not-call list becomes too old for calls in: %(area_codes)s.",
            left + 1,
        )
        found.append(
            Finding(
                text % {"days": left + 1, "area_codes": ", ".join(codes)},
                {"area_codes": codes, "list_date": soon[0].list_date, "days": left + 1},
            )
        )
    if not found and days_left(newest, at) < 0:
        found.append(
            Finding(
                _(
                    "The national do-not-call list is from %(date)s, %(days)s days old; calls need one "
                    "of at most 31 days."
                )
                % {"date": newest, "days": LASTS_DAYS - days_left(newest, at)},
                {"list_date": newest, "days": LASTS_DAYS - days_left(newest, at)},
            )
        )
    return found


@check(
    "backup_fresh",
    WARN,
    gettext_lazy("The backup is recent"),
    screen="admin:governance_backup_changelist",
)
def backup_fresh(at: datetime) -> Finding | None:
    newest = newest_backup()
    if newest is None:
        return Finding(_("There is no backup: schedule manage.py backup every night."))
    if at - newest <= BACKUP_WITHIN:
        return None
    return Finding(
        _("The newest backup is from %(when)s UTC: schedule manage.py backup every night.")
        % {"when": f"{newest:%Y-%m-%d %H:%M}"},
        {"newest": newest},
    )


@check("tls_on", WARN, gettext_lazy("Connections are encrypted"))
def tls_on(at: datetime) -> Finding | None:
    if settings.TLS:
        return None
    return Finding(
        _("TLS is off: passwords and personal information travel in the clear unless a proxy encrypts them."),
        {"setting": "TLS"},
    )


@check(
    "mail_is_sent",
    WARN,
    gettext_lazy("Managers are notified by e-mail"),
    screen="admin:governance_user_changelist?role__exact=MANAGER",
)
def mail_is_sent(at: datetime) -> Finding | None:
    """Check that managers get e-mails; a warning only, since no rule requires it."""
    if settings.EMAIL_BACKEND.endswith(
        (".filebased.EmailBackend", ".console.EmailBackend", ".dummy.EmailBackend")
    ):
        return Finding(_("Mail is written to files: set EMAIL_URL, so that managers are notified."))
    if not managers().exclude(email="").exists():
        return Finding(
            _("No manager has an e-mail address, so nobody is notified when something goes wrong.")
        )
    return None
