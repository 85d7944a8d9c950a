"""What a request gets that went wrong: JSON under /api/, else a page."""

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
    """A database that does not answer is no fault of the program: 503, try again."""
    away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    status = 503 if away else 500
    if request.path.startswith("/api/"):
        words = _("Something broke here.")
        if away:
            words = _("The database does not answer; try again.")
        response: HttpResponse = JsonResponse({"detail": words}, status=status)
    else:
        response = HttpResponse(get_template(f"{status}.html").render(), status=status)
    if away:
        response["Retry-After"] = "5"
    return response
