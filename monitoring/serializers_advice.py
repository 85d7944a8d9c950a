from typing import Any

from django.urls import reverse
from rest_framework import serializers

from cluster.wording import told
from monitoring import advice_words
from monitoring.models import Change


class ApplyIn(serializers.Serializer[Any]):
    id = serializers.CharField(max_length=200)


class UndoIn(serializers.Serializer[Any]):
    change = serializers.IntegerField(min_value=1, max_value=2**62)


class RangeOut(serializers.Serializer[Any]):
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class EvidenceOut(serializers.Serializer[Any]):
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField()


class RecommendationOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    kind = serializers.CharField()
    summary = serializers.CharField(help_text="what to do")
    why = serializers.CharField()
    effect = serializers.CharField(help_text="what would change")
    facts = serializers.DictField()
    evidence = EvidenceOut()
    sample_size = serializers.IntegerField()
    gain = RangeOut(allow_null=True, help_text="of the time; 0.1 is a tenth less")
    applicable = serializers.BooleanField()
    applied = serializers.BooleanField()
    undoable = serializers.BooleanField()


class RefusalOut(serializers.Serializer[Any]):
    kind = serializers.CharField()
    reason = serializers.CharField()
    summary = serializers.CharField()
    facts = serializers.DictField()


class ChangeOut(serializers.Serializer[Any]):
    change = serializers.IntegerField()
    id = serializers.CharField()
    kind = serializers.CharField()
    summary = serializers.CharField()
    before = serializers.DictField()
    after = serializers.DictField()
    at = serializers.DateTimeField()
    by = serializers.CharField(allow_null=True)
    undoable = serializers.BooleanField()
    undone_at = serializers.DateTimeField(allow_null=True)
    undone_by = serializers.CharField()


class StudyOut(serializers.Serializer[Any]):
    computed_at = serializers.DateTimeField(allow_null=True)
    window = serializers.DictField(help_text="the jobs it rests on")
    recommendations = RecommendationOut(many=True)
    refusals = RefusalOut(many=True)
    changes = ChangeOut(many=True)
    page = serializers.CharField()


def recommendation(one: dict[str, Any], applied: set[str]) -> dict[str, Any]:
    what, why, effect = advice_words.sentences(one)
    names = ("id", "kind", "facts", "evidence", "sample_size", "gain", "undoable")
    found = {name: told(one[name]) for name in names}
    return found | {
        "summary": what,
        "why": why,
        "effect": effect,
        "applied": one["id"] in applied,
        "applicable": one["change"] is not None and one["id"] not in applied,
    }


def refusal(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "summary": advice_words.refusal(one)}


def change(row: Change) -> dict[str, Any]:
    return {
        "change": row.pk,
        "id": row.facts.get("id", ""),
        "kind": row.kind,
        "summary": advice_words.sentences(row.facts)[0],
        "before": told(row.before),
        "after": told(row.after),
        "at": row.at,
        "by": row.by.get_username() if row.by else None,
        "undoable": row.undone_at is None and row.facts.get("undoable", True),
        "undone_at": row.undone_at,
        "undone_by": row.undone_by,
    }


def page() -> str:
    return reverse("recommendations")
