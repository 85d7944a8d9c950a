"""The page of recommendations: what, why, how sure, apply, undo; and a replay to try things."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from cluster.strategies import STRATEGIES
from cluster.views.access import staff_only
from jobs.views.access import user_of
from monitoring import advice, advice_words, history
from monitoring import serializers_advice as told
from monitoring.fleets import weakest, with_one_more, without
from monitoring.models import Change
from monitoring.replay import replay

TRIED = 1_000  # jobs, the newest, of a replay that somebody waits for
WIDTH, LINE = 300, 26  # of a chart, in its own units


class ReplayForm(forms.Form):
    strategy = forms.ChoiceField(
        choices=[(name, name) for name in STRATEGIES], label=gettext_lazy("Strategy")
    )
    nodes = forms.TypedChoiceField(
        coerce=int,
        label=gettext_lazy("Nodes"),
        choices=[
            (0, gettext_lazy("as they are")),
            (1, gettext_lazy("one node more")),
            (-1, gettext_lazy("one node less")),
        ],
    )
    days = forms.FloatField(
        label=gettext_lazy("Days"), min_value=0.001, max_value=365, initial=advice.DAYS
    )


@require_safe
def recommendations_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked = "strategy" in request.GET
    form = ReplayForm(request.GET if asked else None)
    tried = try_out(form.cleaned_data, now) if asked and form.is_valid() else None
    last = advice.latest()
    applied = advice.applied(last) if last else set()
    body = last.body if last else {"recommendations": [], "refusals": [], "window": {}}
    context = {
        "study": last,
        "window": body["window"],
        "since": moment_of(body["window"].get("since")),
        "shown": [shown(one, applied) for one in body["recommendations"]],
        "refusals": [
            {"kind": advice_words.kind(one["kind"]), "words": advice_words.refusal(one)}
            for one in body["refusals"]
        ],
        "changes": [told.change(row) for row in advice.changes()],
        "form": form,
        "tried": tried,
        "may": user_of(request).is_staff,
    }
    return render(request, "monitoring/recommendations.html", context)


def moment_of(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def shown(one: dict[str, Any], applied: set[str]) -> dict[str, Any]:
    evidence = one["evidence"]
    return {
        **told.recommendation(one, applied),
        "title": advice_words.kind(one["kind"]),
        "columns": advice_words.columns(evidence),
        "rows": advice_words.rows(evidence),
        "chart": chart(evidence),
        "gain_words": advice_words.span(one) if one["gain"] else "",
        "spec": one["facts"].get("spec"),
    }


def chart(evidence: dict[str, Any]) -> dict[str, Any] | None:
    """Each case's time with open work as a bar, with its range as a line."""
    if "open_seconds" not in evidence["columns"]:
        return None
    place = evidence["columns"].index("open_seconds")
    most = max(max(number or 0 for number in row[place]) for row in evidence["rows"]) or 1
    bars = []
    for number, row in enumerate(evidence["rows"]):
        value, low, high = (number or 0 for number in row[place])
        bars.append({
            "name": advice_words.cell("case", row[0]),
            "words": advice_words.cell("open_seconds", row[place]),
            "y": number * LINE + 14, "middle": number * LINE + 18, "text": number * LINE + 11,
            "width": f"{WIDTH * value / most:.1f}",
            "low": f"{WIDTH * low / most:.1f}", "high": f"{WIDTH * high / most:.1f}",
        })  # fmt: skip
    return {"bars": bars, "height": LINE * len(bars), "width": WIDTH}


def try_out(asked: dict[str, Any], now: datetime) -> dict[str, Any]:
    """One replay, without resampling: a look, not advice."""
    found = history.read(now, asked["days"], TRIED)
    if not found.ran or not found.machines:
        return {"problem": _("Nothing to replay: no job ran in that time, or no node is there.")}
    scene = history.scene_of(found)
    if asked["nodes"] < 0 and len(scene.machines) < 2:
        return {"problem": _("There is one node alone.")}
    other = replace(scene, strategy=asked["strategy"])
    if asked["nodes"] > 0:
        other = with_one_more(other)
    elif asked["nodes"] < 0:
        other = without(other, weakest(other.machines).name)
    work = history.work_of(found)
    rows = [
        (_("as it is: %(strategy)s") % {"strategy": scene.strategy}, replay(work, scene)),
        (_("tried: %(strategy)s") % {"strategy": asked["strategy"]}, replay(work, other)),
    ]
    return {
        "jobs": len(work), "measured": found.makespan(), "cut": found.cut, "since": found.since,
        "rows": [
            {"name": name, "outcome": outcome, "in_use": advice_words.share(outcome.utilisation)}
            for name, outcome in rows
        ],
    }  # fmt: skip


@require_POST
@staff_only
def refresh(request: HttpRequest) -> HttpResponse:
    made = advice.study(timezone.now(), most=advice.SHORT_MOST, seconds=advice.SHORT_SECONDS)
    count = len(made.body["recommendations"])
    messages.success(request, _("Computed anew. Recommendations: %(count)s.") % {"count": count})
    return redirect("recommendations")


@require_POST
@staff_only
def apply(request: HttpRequest) -> HttpResponse:
    try:
        change = advice.apply(request.POST.get("id", ""), request.user, timezone.now())
    except advice.Refused as refused:
        messages.error(request, str(refused))
    else:
        words = advice_words.sentences(change.facts)[0]
        messages.success(request, _("Applied: %(words)s") % {"words": words})
    return redirect("recommendations")


@require_POST
@staff_only
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        advice.undo(pk, request.user, timezone.now())
    except Change.DoesNotExist:
        raise Http404 from None
    except advice.Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("Taken back: it is as it was before."))
    return redirect("recommendations")
