"""Choices for the whole cluster, made while everything runs."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from cluster import setting
from cluster.forms import SettingsForm
from cluster.views.access import demand_staff
from jobs.views.access import name_of


@require_http_methods(["GET", "HEAD", "POST"])
def settings_page(request: HttpRequest) -> HttpResponse:
    form = SettingsForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        demand_staff(request.user)
        if form.is_valid():
            strategy = form.cleaned_data["strategy"]
            setting.choose("strategy", strategy, name_of(request), timezone.now())
            messages.success(request, _("From now on nodes are chosen by %s.") % strategy)
            return redirect("settings")
    chosen = setting.chosen("strategy")
    choices = [
        (name, setting.described(name), name == chosen.value)
        for name in setting.CHOICES["strategy"]
    ]
    context = {"form": form, "chosen": chosen, "choices": choices}
    return render(request, "cluster/settings.html", context)
