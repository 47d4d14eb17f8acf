"""Settings, read from the environment once. An invalid value stops the start with one sentence."""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from governance.core.key_file import number_of, read_keys

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def _flag(name: str, default: bool) -> bool:
    """Read a yes/no variable; anything but 1/0, true/false, yes/no, on/off is an error."""
    text = os.environ.get(name, "").strip().lower()
    if not text:
        return default
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={text!r} is neither 1 nor 0.")


def _kept_secret(path: Path) -> str:
    """Read a secret from `path`, created at the first start and readable only by its owner."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass  # another process was faster; use its secret
    return path.read_text().strip()


def _read_ring(name: str, file: Path, called: str) -> tuple[str, ...]:
    """Read a key and the former ones: from the environment, else from `file`, one per line."""
    given = os.environ.get(name, "").strip()
    keys = (given, *os.environ.get(f"{name}S_KEPT", "").split()) if given else read_keys(file)
    if len({number_of(key) for key in keys}) < len(keys):
        raise ImproperlyConfigured(f"Two {called} have one number; each begins with its own, such as k02:")
    return keys


def _whole(name: str, default: int, low: int, high: int) -> int:
    """Read a whole number from `low` to `high`."""
    text = os.environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise ImproperlyConfigured(f"{name}={text!r} is no whole number from {low} to {high}.")
    return int(text)


def _origins(name: str) -> list[str]:
    """Read origins such as https://crm.example, separated by commas."""
    origins = [text.strip() for text in os.environ.get(name, "").split(",") if text.strip()]
    for text in origins:
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"} or text != f"{parts.scheme}://{parts.netloc}" or "@" in text:
            raise ImproperlyConfigured(
                f"{name} names {text!r}, which is no origin (https:// and a host, without a path)."
            )
        if "*" in text:
            raise ImproperlyConfigured(f"{name} names {text!r}: name each host by itself.")
    return origins


def _networks(name: str, default: str) -> list[IPv4Network | IPv6Network]:
    """Read addresses and networks, separated by commas. A network that contains every address is an error."""
    networks = []
    for text in (os.environ.get(name, "").strip() or default).split(","):
        if not text.strip():
            continue
        try:
            network = ip_network(text.strip())
        except ValueError as problem:
            raise ImproperlyConfigured(
                f"{name} names {text.strip()!r}, which is no address or network ({problem})."
            ) from problem
        if not network.prefixlen:
            raise ImproperlyConfigured(f"{name} names {text.strip()!r}, which is everybody.")
        networks.append(network)
    return networks


ENV = os.environ.get("ENV", "").strip().lower() or "development"
if ENV not in {"development", "production"}:
    raise ImproperlyConfigured(f"ENV={ENV!r} is neither development nor production.")
PRODUCTION = ENV == "production"
DEBUG = False

# Only this account may read VALHALLA_VAR (database, mail, keys, backups).
os.umask(0o077)
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

# Suppressions are found by keyed hashes of phones and addresses. Their key is separate from SECRET_KEY, so
# that rotating that one does not silently lift every opt-out. Migrate creates the file, and only for a
# database that holds nothing written with another key.
CONTACT_HASH_KEY_FILE = VAR / "contact_hash_key"
CONTACT_HASH_KEY_IN_FILE = not os.environ.get("CONTACT_HASH_KEY", "").strip()
# New digests are computed with the first key, while opt-outs are looked up under all of them.
_keys = _read_ring("CONTACT_HASH_KEY", CONTACT_HASH_KEY_FILE, "contact keys")
CONTACT_HASH_KEY, CONTACT_HASH_KEYS_KEPT = (_keys[0] if _keys else ""), _keys[1:]

# The seeds of authenticator apps are encrypted, so that nobody can compute codes from a copy of the database.
SECOND_FACTOR_KEY_FILE = VAR / "second_factor_key"
SECOND_FACTOR_KEY_IN_FILE = not os.environ.get("SECOND_FACTOR_KEY", "").strip()
_keys = _read_ring("SECOND_FACTOR_KEY", SECOND_FACTOR_KEY_FILE, "second factor keys")
SECOND_FACTOR_KEY, SECOND_FACTOR_KEYS_KEPT = (_keys[0] if _keys else ""), _keys[1:]
if PRODUCTION and any(len(key) < 50 or len(set(key)) < 5 for key in _keys):
    raise ImproperlyConfigured(
        "SECOND_FACTOR_KEY and SECOND_FACTOR_KEYS_KEPT must be 50 random characters or longer each when "
        "ENV=production."
    )

TLS = _flag("TLS", PRODUCTION)
# Whose X-Forwarded-For and X-Forwarded-Proto are trusted; see governance/core/client_address.py.
TRUSTED_PROXIES = _networks("TRUSTED_PROXIES", "127.0.0.0/8,::1" if TLS else "")
# Addresses of offices, many people behind each: limits per address are ten times as high there.
OFFICE_ADDRESSES = _networks("OFFICE_ADDRESSES", "")
GO_LIVE_ENFORCE = _flag("GO_LIVE_ENFORCE", PRODUCTION)
# How many days of sandbox trials count for Heimdall.
HEIMDALL_TRIAL_DAYS = _whole("HEIMDALL_TRIAL_DAYS", 30, 1, 365)

# How many processes and threads serve pages and calls, and how many run jobs with a broker.
_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WEB_PROCESSES = _whole("WEB_PROCESSES", min(max(2, _cores), 16), 1, 64)
WEB_THREADS = _whole("WEB_THREADS", 4, 1, 64)
WEB_TIMEOUT = _whole("WEB_TIMEOUT", 120, 5, 3600)  # seconds; an unresponsive worker is replaced after that
# Password hashes that a web process computes at once; each takes 100 MB. See governance/accounts/hashing.py.
PASSWORD_HASHES_AT_ONCE = _whole("PASSWORD_HASHES_AT_ONCE", 1, 1, 16)
# Calls of the API that one person makes a minute in browsers and, if lowered, with their own tokens too.
PERSON_CALLS_PER_MINUTE = _whole("PERSON_CALLS_PER_MINUTE", 60_000, 1, 60_000)
JOB_PROCESSES = _whole("JOB_PROCESSES", min(max(2, _cores), 8), 1, 64)
# /readyz answers 503 when less is left on the disk of VALHALLA_VAR or of SQLite's file.
MIN_FREE_DISK_MB = _whole("MIN_FREE_DISK_MB", 200, 1, 10_000_000)
# How long the files of the security log are kept; see governance/accounts/security_log.py.
SECURITY_LOG_DAYS = _whole("SECURITY_LOG_DAYS", 365, 180, 3650)

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
    "django_otp_webauthn",
    "knox",
    "simple_history",
    "django_celery_beat",
    "governance",
    "followups",
    "buyers",
    "offers",
]

# Pages of other hosts whose scripts may call the API, with a token. Cookies are never sent along.
CORS_ALLOWED_ORIGINS = _origins("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_METHODS = ("GET", "POST", "PATCH", "DELETE", "OPTIONS")
CORS_ALLOW_HEADERS = (
    *("accept", "accept-language", "authorization", "content-type", "idempotency-key", "if-match"),
    *("if-none-match", "x-correlation-id"),
)
CORS_EXPOSE_HEADERS = (
    *("Deprecation", "Dry-Run", "ETag", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy"),
    *("Retry-After", "Sunset", "X-Correlation-ID"),
)
CORS_PREFLIGHT_MAX_AGE = 600

MIDDLEWARE = [
    "valhalla.middleware.Correlation",
    "governance.accounts.security_log.Refusals",
    "governance.core.client_address.TrustedProxies",
    "valhalla.http_policy.AnswerHeaders",
    # before whatever may refuse a call: a page can read a refusal only with these headers
    *(["corsheaders.middleware.CorsMiddleware"] if CORS_ALLOWED_ORIGINS else []),
    "valhalla.middleware.ErrorsAsProblems",
    "valhalla.http_policy.KnownMethods",
    "valhalla.http_policy.ReadableRequests",
    "valhalla.http_policy.TlsForPrograms",
    "valhalla.middleware.NoTrailingSlash",
    "valhalla.middleware.BodyLimits",
    "valhalla.api_pipeline.ApiCalls",
    # a program's call of the API goes no further: what follows serves people's pages
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "valhalla.middleware.AdminPolicy",
    "governance.accounts.hashing.SignInQueue",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "governance.accounts.idle.IdleSessions",
    "governance.accounts.second_step.SecondFactor",
    "valhalla.middleware.LocalTimes",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "valhalla.fresh.FreshAuthentication",
    "axes.middleware.AxesMiddleware",
    "valhalla.http_policy.RefusalsAsPages",
]
APPEND_SLASH = False  # it loses the body of a POST; NoTrailingSlash accepts both forms instead

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


def _database(name: str, url: str) -> dict[str, Any]:
    """Read the URL of a database: sqlite or PostgreSQL, with settings that were tested under load."""
    scheme = urlsplit(url).scheme
    if scheme not in {"sqlite", "postgres", "postgresql"}:
        raise ImproperlyConfigured(
            f"{name} must begin with sqlite:/// or postgresql://, for instance "
            "postgresql://valhalla:password@127.0.0.1:5432/valhalla."
        )
    try:
        database: dict[str, Any] = dict(env.db_url_config(url))
    except Exception as problem:
        raise ImproperlyConfigured(f"{name} cannot be read: {problem}.") from problem
    if not database.get("NAME"):
        raise ImproperlyConfigured(f"{name} names no database.")
    if scheme == "sqlite":
        database["OPTIONS"] = {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=134217728; "
            "PRAGMA cache_size=-20000; PRAGMA temp_store=MEMORY; "
            # else INSERT OR REPLACE bypasses the triggers of the row that a unique key names
            "PRAGMA recursive_triggers=ON;",
        }
    else:
        database["ENGINE"] = "valhalla.postgres"
        database["CONN_MAX_AGE"] = 600
        database["CONN_HEALTH_CHECKS"] = True
    return database


def _owners_database(application: dict[str, Any]) -> dict[str, Any] | None:
    """Read MIGRATE_DATABASE_URL: the same database, as the role that owns its tables."""
    url = os.environ.get("MIGRATE_DATABASE_URL", "").strip()
    if not url:
        return None
    owner = _database("MIGRATE_DATABASE_URL", url)
    if "sqlite" in owner["ENGINE"] + application["ENGINE"]:
        raise ImproperlyConfigured("MIGRATE_DATABASE_URL is for PostgreSQL; SQLite has no roles.")
    if owner["NAME"] != application["NAME"]:
        raise ImproperlyConfigured("MIGRATE_DATABASE_URL and DATABASE_URL name two databases.")
    return owner


DATABASES = {
    "default": _database(
        "DATABASE_URL",
        os.environ.get("DATABASE_URL", "").strip() or f"sqlite:///{VAR / 'valhalla.sqlite3'}",
    )
}
# The owner of the tables if that is not the application; only migrate uses it. None: one role does
# everything.
MIGRATE_DATABASE = _owners_database(DATABASES["default"])
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "governance.User"
AUTHENTICATION_BACKENDS = ["valhalla.rest.RoleBackend"]  # the name in sessions
PASSWORD_HASHERS = [
    "governance.accounts.hashing.BoundedArgon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {
        "NAME": "django.contrib.auth.password_validation.CommonPasswordValidator",
        "OPTIONS": {"password_list_path": BASE_DIR / "governance/accounts/data/common_passwords.txt"},
    },
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Five wrong passwords lock a name at an address, regardless of case; thirty lock the address for names that
# did not sign in from there recently (governance/accounts/lockout.py).
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else anyone could lock a person out permanently
AXES_USERNAME_CALLABLE = "governance.accounts.lockout.typed_name"
AXES_CLIENT_IP_CALLABLE = "governance.accounts.lockout.counted_address"
AXES_LOCKOUT_CALLABLE = "governance.accounts.lockout.locked"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# Managers, auditors and superusers must have a second factor; others are asked for it if they have one.
SECOND_FACTOR_FORCED = PRODUCTION
# Further roles that must have one, from their next sign-in on: nobody is interrupted at work.
SECOND_FACTOR_ROLES = frozenset(os.environ.get("SECOND_FACTOR_ROLES", "").replace(",", " ").upper().split())
if not {"VA", "CLOSER"} >= SECOND_FACTOR_ROLES:
    raise ImproperlyConfigured("SECOND_FACTOR_ROLES takes va, closer or both, separated by a comma.")
PASSWORD_RESET_TIMEOUT = 24 * 3600  # of the links for setting a password
OTP_TOTP_ISSUER = "Valhalla"
# Passkeys are a second factor, never a replacement for the password. The relying party and the origin are
# read from each request, whose host is one of ALLOWED_HOSTS.
OTP_WEBAUTHN_ALLOW_PASSWORDLESS_LOGIN = False
OTP_WEBAUTHN_RP_NAME = "Valhalla"
OTP_WEBAUTHN_RP_ID_CALLABLE = "governance.accounts.webauthn.relying_party"
OTP_WEBAUTHN_TIMEOUT_SECONDS = 3 * 60  # how long the browser waits for the person
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
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "valhalla.swagger_ui.SwaggerUI",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MANIFEST_STRICT = False
FILE_UPLOAD_PERMISSIONS = 0o600

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
BODY_LIMIT_BYTES = 64 * 1024
BULK_BODY_LIMIT_BYTES = 1024 * 1024
BULK_PATHS = (
    "/api/followups/reassign",
    "/api/followups/leads/bulk",
    "/api/followups/ladders/bulk",
    "/api/buyers/feedback/bulk",
)
# A long note must never block the action it belongs to, so requests with a note may be as large as a bulk
# request.
NOTE_PATHS = r"/api/followups/(?:task/[0-9]{1,19}/complete|lead/[^/]{1,200}/inbound)"
JSON_DEPTH = 32

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "governance.accounts.authentication.BearerToken",
        "governance.accounts.authentication.SessionLogin",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["governance.core.rest.permissions.NamedRight"],
    "DEFAULT_PARSER_CLASSES": [
        "governance.core.rest.serialization.StrictJSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "governance.core.rest.serialization.Negotiation",
    "DEFAULT_RENDERER_CLASSES": ["governance.core.rest.serialization.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "governance.core.rest.pagination.NewestFirst",
    "PAGE_SIZE": 50,
    "DEFAULT_FILTER_BACKENDS": [
        "governance.core.rest.filters.StrictFilters",
        "governance.core.rest.filters.Ordering",
    ],
    "EXCEPTION_HANDLER": "governance.core.rest.problems.problem_response",
    "DEFAULT_METADATA_CLASS": "governance.core.rest.metadata.CallMetadata",
    "DEFAULT_SCHEMA_CLASS": "governance.core.rest.openapi.Schema",  # imported only to write the schema
    "COERCE_DECIMAL_TO_STRING": False,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
# The schema is written by `make openapi` and served from docs/openapi.json.
SPECTACULAR_SETTINGS = {
    "TITLE": "Valhalla API",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": "/"}],
    "POSTPROCESSING_HOOKS": ["governance.core.rest.openapi.finish"],
    "SORT_OPERATION_PARAMETERS": False,
}
REST_KNOX = {"TOKEN_MODEL": "governance.ApiToken", "AUTH_HEADER_PREFIX": "Bearer"}
KNOX_TOKEN_MODEL = "governance.ApiToken"

# Jobs. Without a broker one beat process runs the ticks itself, and only there tasks are eager.
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
# A message is acknowledged when its task begins, Celery's default: it only wakes the worker, and the slot's
# row says what is done. With late acknowledgement a worker exited if the broker had been killed in between.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True


def _mail_server(url: str) -> dict[str, Any]:
    """Read EMAIL_URL: smtp:// is unencrypted, smtp+tls:// uses STARTTLS, smtp+ssl:// TLS from the start."""
    scheme = urlsplit(url).scheme
    if scheme not in MAIL_PORTS:
        raise ImproperlyConfigured(
            "EMAIL_URL must begin with smtp+tls:// (STARTTLS), smtp+ssl:// (TLS from the start) or smtp://, "
            "for instance smtp+tls://user:password@mail.example:587."
        )
    try:
        read: dict[str, Any] = dict(env.email_url_config(url))
    except Exception as problem:
        raise ImproperlyConfigured(f"EMAIL_URL cannot be read: {problem}.") from problem
    host = read.get("EMAIL_HOST") or "localhost"
    if PRODUCTION and scheme == "smtp" and host not in {"localhost", "127.0.0.1", "::1"}:
        raise ImproperlyConfigured(
            f"EMAIL_URL would send mail and its password in the clear to {host}: begin it with smtp+tls:// "
            "or smtp+ssl:// when ENV=production."
        )
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": read.get("EMAIL_PORT") or MAIL_PORTS[scheme],
        "EMAIL_HOST_USER": read.get("EMAIL_HOST_USER") or "",
        "EMAIL_HOST_PASSWORD": read.get("EMAIL_HOST_PASSWORD") or "",
        "EMAIL_USE_TLS": scheme == "smtp+tls",
        "EMAIL_USE_SSL": scheme == "smtp+ssl",
    }


MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
_email = os.environ.get("EMAIL_URL", "").strip()
if _email:
    _mail = _mail_server(_email)
    EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
    EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"], _mail["EMAIL_PORT"]
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"], _mail["EMAIL_HOST_PASSWORD"]
    EMAIL_USE_TLS, EMAIL_USE_SSL = _mail["EMAIL_USE_TLS"], _mail["EMAIL_USE_SSL"]
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(VAR / "mail")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "").strip() or "valhalla@localhost"

SECURE_SSL_REDIRECT = TLS
SECURE_HSTS_SECONDS = 31536000 if TLS else 0
# Both cover every host under the domain, and preloading cannot be undone for months: its owner has to decide.
SECURE_HSTS_INCLUDE_SUBDOMAINS = _flag("HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = _flag("HSTS_PRELOAD", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # removed unless a trusted proxy wrote it
SECURE_REDIRECT_EXEMPT = [
    r"^livez$",
    r"^readyz$",
    r"^api/(?!$|docs/?$)",
]  # see valhalla.http_policy.TlsForPrograms
SECURE_REFERRER_POLICY = "same-origin"
# A browser accepts a cookie of this name only over TLS and from this very host, for all of its paths.
_COOKIES = "__Host-" if TLS else ""
SESSION_COOKIE_NAME = f"{_COOKIES}sessionid"
CSRF_COOKIE_NAME = f"{_COOKIES}csrftoken"
LANGUAGE_COOKIE_NAME = f"{_COOKIES}language"
MESSAGES_COOKIE_NAME = f"{_COOKIES}messages"
MESSAGE_STORAGE = "valhalla.cookies.Messages"
LANGUAGE_COOKIE_SECURE = TLS
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
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
    "filters": {
        "correlation": {"()": "valhalla.logs.CorrelationFilter"},
        "outage": {"()": "valhalla.logs.OutageFilter"},
    },
    "formatters": {
        "line": {
            "()": "valhalla.logs.OneLine",
            "fmt": "%(asctime)s %(levelname)s %(name)s [%(correlation_id)s] %(message)s",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["outage", "correlation"],
        }
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "valhalla": {"level": "INFO"},
        "governance": {"level": "INFO"},
        "followups": {"level": "INFO"},
        "buyers": {"level": "INFO"},
        "offers": {"level": "INFO"},
        # a 4xx is an answer, not an event for the server log
        "django.request": {"level": "ERROR"},
    },
}

SIMPLE_HISTORY_HISTORY_CHANGE_REASON_USE_TEXT_FIELD = True
SILENCED_SYSTEM_CHECKS = [
    "models.W040",  # SQLite reads its indexes without the extra columns that PostgreSQL stores in them
    "otp_webauthn.E030",  # the origin that passkeys are used from is the request's own
    "security.W005",  # the domain's owner decides about HSTS for every host: HSTS_INCLUDE_SUBDOMAINS
    "security.W021",  # and about preloading: HSTS_PRELOAD
]

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
            {"title": _("Second factor"), "link": reverse_lazy("second_factors")},
            {"title": _("Your tokens"), "link": reverse_lazy("tokens")},
            {"title": _("Password"), "link": reverse_lazy("password")},
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
