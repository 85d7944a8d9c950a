"""Who may change what: everybody their own, staff everything."""

from typing import Any, TypeVar, cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from jobs.models import JobQuerySet

R = TypeVar("R", bound=HttpResponseBase)


def user_of(request: HttpRequest) -> User:
    return cast(User, request.user)


def name_of(request: HttpRequest) -> str:
    """Who did it, for the record."""
    return user_of(request).get_username()


def may_change(request: HttpRequest, owned: Any) -> bool:
    """May this person cancel, requeue or delete this job or sweep?"""
    user = user_of(request)
    return user.is_staff or owned.owner_id == user.pk


def changeable(request: HttpRequest, jobs: JobQuerySet) -> JobQuerySet:
    """Those of `jobs` that this person may change."""
    user = user_of(request)
    return jobs if user.is_staff else jobs.filter(owner=user)


def demand(request: HttpRequest, owned: Any) -> None:
    if not may_change(request, owned):
        raise PermissionDenied(_("It belongs to somebody else."))


def attachment(response: R, name: str) -> R:
    """To be saved, never shown: whatever is inside cannot act as a page."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
