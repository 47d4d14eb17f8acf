"""Settings, read from the environment once. A wrong value stops the start with one sentence."""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def _flag(name: str, default: bool) -> bool:
    """Read a yes/no variable; anything else than 1/0, true/false, yes/no, on/off is a mistake."""
    text = os.environ.get(name, "").strip().lower()
    if not text:
        return default
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={text!r} is neither 1 nor 0.")


def _kept_secret(path: Path) -> str:
    """Read a secret from `path`, made at the first start and readable by its owner alone."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass  # another process was faster; its secret counts
    return path.read_text().strip()


def _whole(name: str, default: int, low: int, high: int) -> int:
    """Read a whole number from `low` to `high`."""
    text = os.environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise ImproperlyConfigured(f"{name}={text!r} is no whole number from {low} to {high}.")
    return int(text)


ENV = os.environ.get("ENV", "").strip().lower() or "development"
if ENV not in {"development", "production"}:
    raise ImproperlyConfigured(f"ENV={ENV!r} is neither development nor production.")
PRODUCTION = ENV == "production"
DEBUG = False

VAR = Path(os.environ.get("VALHALLA_VAR", "").strip() or BASE_DIR / "var").resolve()
try:
    VAR.mkdir(parents=True, exist_ok=True)
except OSError as problem:
    raise ImproperlyConfigured(f"VALHALLA_VAR={str(VAR)!r} cannot be used: {problem.strerror}.") from problem

SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured("SECRET_KEY must be set when ENV=production.")
    SECRET_KEY = _kept_secret(VAR / "secret_key")
elif PRODUCTION and (len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5):
    raise ImproperlyConfigured("SECRET_KEY must be 50 random characters or longer when ENV=production.")

# Suppressions are found by keyed hashes of phones and addresses. Their key is apart from SECRET_KEY, so that
# rotating that one does not silently lift every opt-out.
CONTACT_HASH_KEY = os.environ.get("CONTACT_HASH_KEY", "") or _kept_secret(VAR / "contact_hash_key")

TLS = _flag("TLS", PRODUCTION)
GO_LIVE_ENFORCE = _flag("GO_LIVE_ENFORCE", PRODUCTION)
# How many days of sandbox trials Heimdall looks back on.
HEIMDALL_TRIAL_DAYS = _whole("HEIMDALL_TRIAL_DAYS", 30, 1, 365)

_port = os.environ.get("PORT", "").strip() or "8000"
if not (_port.isascii() and _port.isdigit() and 1 <= int(_port) <= 65535):
    raise ImproperlyConfigured(f"PORT={_port!r} is no port between 1 and 65535.")
PORT = int(_port)

ALLOWED_HOSTS = [host.strip() for host in os.environ.get("ALLOWED_HOSTS", "").split(",") if host.strip()]
for _host in ALLOWED_HOSTS:
    if any(sign in _host for sign in "/ :") and not _host.startswith("["):
        raise ImproperlyConfigured(
            f"ALLOWED_HOSTS names {_host!r}, which is no host name (no scheme, port or path)."
        )
if not ALLOWED_HOSTS:
    if PRODUCTION:
        raise ImproperlyConfigured("ALLOWED_HOSTS must name the hosts that are served when ENV=production.")
    ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = [
    f"https://{host.lstrip('.') if host[0] != '.' else '*' + host}" for host in ALLOWED_HOSTS
]

INSTALLED_APPS = [
    "valhalla",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.simple_history",
    "valhalla.apps.ValhallaAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "django_htmx",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "knox",
    "simple_history",
    "django_celery_beat",
    "governance",
    "followups",
    "buyers",
    "offers",
]

MIDDLEWARE = [
    "valhalla.middleware.Correlation",
    "valhalla.middleware.ErrorsAsProblems",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "valhalla.middleware.NoTrailingSlash",
    "valhalla.middleware.BodyLimits",
    "csp.middleware.CSPMiddleware",
    "valhalla.middleware.AdminPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "valhalla.idle.IdleSessions",
    "valhalla.second_factor.SecondFactor",
    "valhalla.middleware.LocalTimes",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "axes.middleware.AxesMiddleware",
]
APPEND_SLASH = False  # it loses the body of a POST; NoTrailingSlash answers both forms instead

ROOT_URLCONF = "valhalla.urls"
WSGI_APPLICATION = "valhalla.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    """Read DATABASE_URL: sqlite or PostgreSQL, with the settings that were measured to hold."""
    url = os.environ.get("DATABASE_URL", "").strip() or f"sqlite:///{VAR / 'valhalla.sqlite3'}"
    scheme = urlsplit(url).scheme
    if scheme not in {"sqlite", "postgres", "postgresql"}:
        raise ImproperlyConfigured(
            "DATABASE_URL must begin with sqlite:/// or postgresql://, for instance "
            "postgresql://valhalla:password@127.0.0.1:5432/valhalla."
        )
    try:
        database: dict[str, Any] = dict(env.db_url_config(url))
    except Exception as problem:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {problem}.") from problem
    if not database.get("NAME"):
        raise ImproperlyConfigured("DATABASE_URL names no database.")
    if scheme == "sqlite":
        database["OPTIONS"] = {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=134217728; "
            "PRAGMA cache_size=-20000; PRAGMA temp_store=MEMORY; "
            # else INSERT OR REPLACE removes the row that a unique key names past its triggers
            "PRAGMA recursive_triggers=ON;",
        }
    else:
        database["ENGINE"] = "valhalla.postgres"
        database["CONN_MAX_AGE"] = 600
        database["CONN_HEALTH_CHECKS"] = True
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "governance.User"
AUTHENTICATION_BACKENDS = ["valhalla.rest.RoleBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Five wrong passwords lock a name at an address, each capitalisation of it being the same name.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else somebody else could lock a person out for ever
AXES_USERNAME_CALLABLE = "valhalla.lockout.typed_name"
AXES_CLIENT_IP_CALLABLE = "valhalla.lockout.address"
AXES_LOCKOUT_CALLABLE = "valhalla.lockout.locked"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# Managers, auditors and superusers must have a second factor; whoever else has one is asked for it too.
SECOND_FACTOR_FORCED = PRODUCTION
OTP_TOTP_ISSUER = "Valhalla"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
SESSION_COOKIE_AGE = 12 * 3600

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("fr", _("French"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "valhalla.formats"

STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MANIFEST_STRICT = False

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
BODY_LIMIT_BYTES = 64 * 1024
BULK_BODY_LIMIT_BYTES = 1024 * 1024
BULK_PATHS = ("/api/followups/reassign",)
JSON_DEPTH = 32

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["valhalla.rest.BearerToken", "valhalla.rest.SessionLogin"],
    "DEFAULT_PERMISSION_CLASSES": ["valhalla.rest.NamedRight"],
    "DEFAULT_PARSER_CLASSES": [
        "valhalla.rest.StrictJSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["valhalla.rest.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "valhalla.rest.NewestFirst",
    "PAGE_SIZE": 50,
    "DEFAULT_FILTER_BACKENDS": ["valhalla.rest.StrictFilters", "valhalla.rest.Ordering"],
    "EXCEPTION_HANDLER": "valhalla.rest.problem_response",
    "COERCE_DECIMAL_TO_STRING": False,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
REST_KNOX = {"TOKEN_MODEL": "governance.ApiToken", "AUTH_HEADER_PREFIX": "Bearer"}
KNOX_TOKEN_MODEL = "governance.ApiToken"

# Jobs. Without a broker one beat process runs the ticks itself, and only there are tasks eager.
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "").strip()
if CELERY_BROKER_URL and urlsplit(CELERY_BROKER_URL).scheme not in {"redis", "rediss", "amqp", "amqps"}:
    raise ImproperlyConfigured("CELERY_BROKER_URL must begin with redis://, rediss://, amqp:// or amqps://.")
BROKER_CONFIGURED = bool(CELERY_BROKER_URL)
EMBEDDED_JOBS = _flag("VALHALLA_EMBEDDED_JOBS", False)
if not BROKER_CONFIGURED:
    CELERY_BROKER_URL = "memory://"
CELERY_TASK_ALWAYS_EAGER = EMBEDDED_JOBS and not BROKER_CONFIGURED
CELERY_BEAT_SCHEDULER = "valhalla.scheduler:LeasedScheduler"
CELERY_BEAT_SYNC_EVERY = 1  # else a kill forgets when jobs last ran
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_TASK_IGNORE_RESULT = True
# A message is acknowledged when its task begins, Celery's default: it only wakes the worker, the slot says
# what is done. Acknowledged at the end, it ended the worker where the broker had been killed in between.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True

_email = os.environ.get("EMAIL_URL", "").strip()
if _email:
    try:
        _mail = env.email_url_config(_email)
    except Exception as problem:
        raise ImproperlyConfigured(f"EMAIL_URL cannot be read: {problem}.") from problem
    EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
    EMAIL_HOST = _mail.get("EMAIL_HOST") or "localhost"
    EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
    EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
    EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
    EMAIL_USE_TLS = bool(_mail.get("EMAIL_USE_TLS"))
    EMAIL_FILE_PATH = _mail.get("EMAIL_FILE_PATH") or str(VAR / "mail")
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(VAR / "mail")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "").strip() or "valhalla@localhost"

SECURE_SSL_REDIRECT = TLS
SECURE_HSTS_SECONDS = 31536000 if TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = TLS
SECURE_HSTS_PRELOAD = TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TLS else None
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = TLS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = TLS
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "valhalla.views.csrf_failure"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"correlation": {"()": "valhalla.logs.CorrelationFilter"}},
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s [%(correlation_id)s] %(message)s"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["correlation"]}
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "valhalla": {"level": "INFO"},
        "governance": {"level": "INFO"},
        "followups": {"level": "INFO"},
        "buyers": {"level": "INFO"},
        "offers": {"level": "INFO"},
        # a 4xx is an answer, not an event of the server's
        "django.request": {"level": "ERROR"},
    },
}

SIMPLE_HISTORY_HISTORY_CHANGE_REASON_USE_TEXT_FIELD = True
# SQLite reads its indexes without the extra columns that PostgreSQL keeps in them.
SILENCED_SYSTEM_CHECKS = ["models.W040"]

UNFOLD = {
    "SITE_TITLE": "Valhalla",
    "SITE_HEADER": "Valhalla",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("valhalla.svg")}
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "valhalla.pages.board.dashboard",
    "ENVIRONMENT": "governance.golive.banner.environment",
    "ACCOUNT": {
        "navigation": [
            {"title": _("Your sessions"), "link": reverse_lazy("sessions")},
            {"title": _("Second factor"), "link": reverse_lazy("second_factor_new")},
        ]
    },
    "SIDEBAR": {"navigation": "valhalla.pages.navigation.navigation"},
    "STYLES": [
        lambda request: static("board.css"),
        lambda request: static("admin.css"),
        lambda request: static("tripwire.css"),
    ],
    "SCRIPTS": [lambda request: static("admin.js")],
}
