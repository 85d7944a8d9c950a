"""Everybody looks; staff changes."""

from typing import Any

from django.contrib.auth.decorators import user_passes_test
from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _


def demand_staff(user: Any) -> bool:
    if not user.is_staff:
        raise PermissionDenied(_("Only staff may change the cluster and its nodes."))
    return True


staff_only = user_passes_test(demand_staff)
