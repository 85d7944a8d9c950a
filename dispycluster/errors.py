"""What a request gets that went wrong: JSON under /api/, else a page."""

import errno
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import get_template
from django.utils.translation import gettext as _
from django.views import defaults


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": _("Not found.")}, status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Neither a database that does not answer nor a full disk is a fault of the program."""
    error = sys.exc_info()[1]
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    away = isinstance(error, OperationalError | InterfaceError)
    status = 507 if full else 503 if away else 500
    if request.path.startswith("/api/"):
        words = _("Something broke here.")
        if full:
            words = _("There is no space left on this machine's disk; nothing was kept.")
        elif away:
            words = _("The database does not answer; try again.")
        response: HttpResponse = JsonResponse({"detail": words}, status=status)
    else:
        response = HttpResponse(get_template(f"{status}.html").render(), status=status)
    if away:
        response["Retry-After"] = "5"
    return response
