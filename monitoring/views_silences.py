"""Silences, the maintenance switch, and the rules' settings."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from cluster.nodes import Refused
from cluster.views.access import demand_staff, staff_only
from jobs.views.access import name_of
from monitoring import alert_words, rule_settings, silences
from monitoring.amounts import length, named
from monitoring.forms_alerts import QuietForm, RuleForm, SilenceForm
from monitoring.models import RuleSetting, Silence
from monitoring.rules import RULES, Rule

RECENT = 30


@require_http_methods(["GET", "HEAD", "POST"])
def silences_page(request: HttpRequest) -> HttpResponse:
    now, who = timezone.now(), name_of(request)
    start = {name: request.GET.get(name, "") for name in ("rule", "subject")}
    form = SilenceForm(initial=start)
    if request.method == "POST":
        demand_staff(request.user)
        form = SilenceForm(request.POST)
        if form.is_valid():
            given = form.cleaned_data
            try:
                silences.add(
                    given["rule"], given["subject"].strip(), given["comment"],
                    now + form.length(), who, now,
                )  # fmt: skip
            except Refused as refused:
                form.add_error(refused.field or None, str(refused))
            else:
                messages.success(request, _("Nothing is sent about it until then."))
                return redirect("silences")
    lasting = sorted(silences.active(now), key=lambda one: (one.ends_at, one.pk))
    over = Silence.objects.filter(ends_at__lte=now).exclude(rule="", subject="")
    context = {
        "form": form,
        "quiet_form": QuietForm(auto_id="id_maintenance_%s"),
        "maintenance": silences.maintenance(now),
        "active": [one for one in lasting if not silences.is_maintenance(one)],
        "ended": over.order_by("-ends_at", "-pk")[:RECENT],
    }
    return render(request, "monitoring/silences.html", context)


@require_POST
@staff_only
def end(request: HttpRequest, pk: int) -> HttpResponse:
    silences.end(get_object_or_404(Silence, pk=pk), timezone.now())
    messages.success(request, _("The silence is over: what still fires is told now."))
    return redirect("silences")


@require_POST
@staff_only
def maintenance(request: HttpRequest) -> HttpResponse:
    """One switch for all notices."""
    now = timezone.now()
    if request.POST.get("off"):
        silences.stop_maintenance(now)
        messages.success(request, _("Maintenance is over: what still fires is told now."))
        return redirect("silences")
    form = QuietForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Say for how long, and why."))
        return redirect("silences")
    comment, ends_at = form.cleaned_data["comment"], now + form.length()
    silences.start_maintenance(comment, ends_at, name_of(request), now)
    messages.success(request, _("Maintenance: nothing is sent until it ends or you end it."))
    return redirect("silences")


@dataclass(frozen=True)
class Row:
    """A rule as the page shows it."""

    rule: Rule
    default: Rule
    form: RuleForm
    changed: RuleSetting | None

    @property
    def title(self) -> str:
        return alert_words.title(self.rule.name)

    @property
    def unit(self) -> str:
        return named(self.rule.unit)

    @property
    def hold(self) -> str:
        return length(self.rule.hold)

    @property
    def default_hold(self) -> str:
        return length(self.default.hold)

    @property
    def threshold(self) -> str:
        return alert_words.shown_value(self.rule.name, self.rule.threshold)

    @property
    def default_threshold(self) -> str:
        return alert_words.shown_value(self.rule.name, self.default.threshold)

    @property
    def causes(self) -> list[str]:
        return [alert_words.title(name) for name in self.rule.consequence_of]


@require_http_methods(["GET", "HEAD", "POST"])
def rules_page(request: HttpRequest) -> HttpResponse:
    wrong: dict[str, RuleForm] = {}
    if request.method == "POST":
        demand_staff(request.user)
        name = request.POST.get("rule", "")
        if name not in RULES:
            return redirect("rules")
        if request.POST.get("reset"):
            rule_settings.reset(name)
            messages.success(request, _("“%s” is as it comes.") % alert_words.title(name))
            return redirect("rules")
        form = RuleForm(request.POST, prefix=name)
        if form.is_valid() and change(request, name, form):
            messages.success(request, _("“%s” is changed.") % alert_words.title(name))
            return redirect("rules")
        wrong[name] = form
    return render(request, "monitoring/rules.html", {"rows": rows(wrong)})


def change(request: HttpRequest, name: str, form: RuleForm) -> bool:
    given: dict[str, Any] = form.cleaned_data
    try:
        rule_settings.change(
            name, given["enabled"], given["threshold"], given["hold_seconds"], name_of(request),
            timezone.now(),
        )  # fmt: skip
    except Refused as refused:
        form.add_error(refused.field or None, str(refused))
    return not form.errors


def rows(wrong: dict[str, RuleForm]) -> list[Row]:
    changed = {row.rule: row for row in RuleSetting.objects.all()}
    found = []
    for name, rule in rule_settings.read().items():
        start = {"enabled": rule.enabled, "threshold": plainly(rule.threshold),
                 "hold_seconds": plainly(rule.hold)}  # fmt: skip
        form = wrong.get(name) or RuleForm(initial=start, prefix=name)
        found.append(Row(rule, RULES[name], form, changed.get(name)))
    return found


def plainly(value: float | None) -> str:
    """As a person would type it: 60, not 60.0."""
    return "" if value is None else f"{value:.12g}"
