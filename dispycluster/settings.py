"""Settings, read from the environment once. A value that makes no sense stops the start."""

from pathlib import Path
from socket import gethostname

import environ
from django.core.exceptions import ImproperlyConfigured

from dispycluster.home import ROOT, home_folder, secret

env = environ.Env()

BASE_DIR = ROOT
HOME = home_folder()


def number(name: str, default: float, low: float, high: float) -> float:
    """A number from the environment, refused outside low..high."""
    text = env.str(name, default="") or str(default)
    try:
        value = float(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {text!r}") from None
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must be between {low:g} and {high:g}, not {text}")
    return value


def mail_settings(url: str) -> dict[str, object]:
    """EMAIL_URL as Django's settings: smtp://, smtp+tls:// or smtp+ssl://user:password@host:port"""
    if not url:
        return {}
    if url.partition("://")[0] not in ("smtp", "smtp+tls", "smtp+ssl"):
        raise ImproperlyConfigured("EMAIL_URL must begin with smtp://, smtp+tls:// or smtp+ssl://")
    found = environ.Env.email_url_config(url)
    default = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}[url.partition("://")[0]]
    found["EMAIL_PORT"] = found["EMAIL_PORT"] or default
    return {name: value for name, value in found.items() if value not in (None, "")}


DEBUG = env.bool("DEBUG", default=False)
HOST = env.str("HOST", default="127.0.0.1")
PORT = int(number("PORT", 8085, 1, 65535))
SECRET_KEY = env.str("SECRET_KEY", default="") or secret(HOME, "secret_key")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"] if DEBUG else [])
if not ALLOWED_HOSTS:
    # Reached by name or address on a LAN we cannot know; the pages carry no host-dependent secrets.
    ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", ".local", HOST]
    if HOST in ("0.0.0.0", "::"):  # noqa: S104
        ALLOWED_HOSTS = ["*"]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# The engine
DISPY_HOST = env.str("DISPY_HOST", default="127.0.0.1")
DISPY_PORT = int(number("DISPY_PORT", 51347, 1, 65534))
DISPY_SECRET = env.str("DISPY_SECRET", default="") or secret(HOME, "dispy_secret")
DISPY_NODES = [name.strip() for name in env.list("DISPY_NODES", default=[]) if name.strip()]
DISPY_LOGLEVEL = env.str("DISPY_LOGLEVEL", default="INFO").upper()
if DISPY_LOGLEVEL not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
    raise ImproperlyConfigured(
        f"DISPY_LOGLEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not {DISPY_LOGLEVEL!r}"
    )
DISPY_CERTFILE = env.str("DISPY_CERTFILE", default="")
DISPY_KEYFILE = env.str("DISPY_KEYFILE", default="")
DISPY_CLEANUP_INTERVAL = number("DISPY_CLEANUP_INTERVAL", 300, 1, 86400 * 30)
LOCAL_NODE = "127.0.0.1"  # started by `manage.py up` where DISPY_NODES is empty

# The work
RETENTION_DAYS = number("RETENTION_DAYS", 30, 0, 36500)  # 0: keep for ever
SAMPLES_BYTES = number("SAMPLES_LIMIT_MB", 512, 1, 1e6) * 1e6  # the oldest go first
FILES = HOME / "files"
TASKS = Path(env.str("DISPYCLUSTER_TASKS", default="") or BASE_DIR / "tasks")
UPLOAD_LIMIT = int(number("UPLOAD_LIMIT_MB", 1024, 1, 1 << 20)) * 1024 * 1024

# Notices
DISPYCLUSTER_URL = env.str("DISPYCLUSTER_URL", default="").rstrip("/")  # where people reach us
if DISPYCLUSTER_URL and DISPYCLUSTER_URL.partition("://")[0] not in ("http", "https"):
    raise ImproperlyConfigured("DISPYCLUSTER_URL must begin with http:// or https://")
MAIL_IS_SET = bool(env.str("EMAIL_URL", default=""))
vars().update(mail_settings(env.str("EMAIL_URL", default="")))
DEFAULT_FROM_EMAIL = env.str("MAIL_FROM", default="") or f"dispycluster@{gethostname()}"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "dispycluster",
    "cluster",
    "jobs",
    "schedules",
    "monitoring",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "dispycluster.urls"
WSGI_APPLICATION = "dispycluster.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASE_URL = env.str("DATABASE_URL", default="") or f"sqlite:///{HOME}/dispycluster.sqlite3"
if DATABASE_URL.partition("://")[0] not in ("sqlite", "postgres", "postgresql"):
    raise ImproperlyConfigured("DATABASE_URL must begin with postgres:// or sqlite:///")
DATABASES = {"default": environ.Env.db_url_config(DATABASE_URL)}
SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
if SQLITE:
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        " PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY;",
    }
else:
    # A process that freezes amid a transaction must not keep its locks: the next one waits.
    frozen = "-c idle_in_transaction_session_timeout=10s"
    options = DATABASES["default"].setdefault("OPTIONS", {})
    options["options"] = f"{options.get('options', '')} {frozen}".strip()
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"

LANGUAGES = [("en", "English"), ("fr", "Français")]
# Of notices, and of pages for those whose browser asks for neither.
LANGUAGE_CODE = env.str("DISPYCLUSTER_LANGUAGE", default="") or "en"
if LANGUAGE_CODE not in dict(LANGUAGES):
    raise ImproperlyConfigured(f"DISPYCLUSTER_LANGUAGE must be en or fr, not {LANGUAGE_CODE!r}")
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.str("TZ", default="") or "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# The API refuses a body over 5 MB before it is read; files go to /api/files, streamed.
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
FILE_UPLOAD_TEMP_DIR = None
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "dispycluster.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["jobs.renderers.AnyJSON"],
    "DEFAULT_PARSER_CLASSES": ["jobs.parsers.LimitedJSON"],
    "EXCEPTION_HANDLER": "jobs.parsers.answer_error",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
REST_KNOX = {
    "AUTH_HEADER_PREFIX": "Bearer",
    "TOKEN_LIMIT_PER_USER": None,
}
SPECTACULAR_SETTINGS = {
    "ENUM_NAME_OVERRIDES": {
        "AttemptOutcome": "jobs.models.Outcome",
        "RunOutcome": "schedules.models.Run.Outcome",
    },
    "TITLE": "DispyCluster",
    "DESCRIPTION": "Durable jobs on a cluster of small machines.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api",
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "style-src": ["'self'"],
        "script-src": ["'self'"],
        "object-src": ["'none'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_NAME = f"dispycluster_{PORT}"  # cookies ignore the port: two copies, two names
CSRF_COOKIE_NAME = f"dispycluster_csrf_{PORT}"
HTTPS = env.bool("HTTPS", default=False)  # behind a proxy that speaks TLS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# TLS, its redirect and HSTS are the proxy's, where there is one; a LAN has none.
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008", "security.W012", "security.W016"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    # "Not ready yet" is an answer of /readyz, not an error to log at each probe.
    "filters": {
        "not_503": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(record, "status_code", None) != 503,
        },
        "masked": {"()": "cluster.joining.masking.Masked"},
    },
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["not_503", "masked"],
        }
    },
    "root": {"handlers": ["console"], "level": DISPY_LOGLEVEL},
    "loggers": {"django": {"level": "INFO" if DISPY_LOGLEVEL == "DEBUG" else DISPY_LOGLEVEL}},
}
