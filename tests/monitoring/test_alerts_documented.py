"""docs/alerts.md is in step with the rules."""

import re
from pathlib import Path

import pytest
from django.utils import translation

from monitoring.alert_words import title
from monitoring.amounts import amount, length
from monitoring.rules import RULES, Rule

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text()
PARTS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL))


def test_every_rule_has_its_part_and_every_part_its_rule() -> None:
    assert list(PARTS) == list(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_part_says_what_the_rule_is_and_what_to_do(rule: Rule) -> None:
    part, words = PARTS[rule.name], [rule.severity]
    with translation.override("en"):
        called, hold = title(rule.name), length(rule.hold)
        threshold = amount(rule.threshold, rule.unit)
    if rule.threshold is not None:
        words.append(f"{'below' if rule.below else 'from'} {threshold}")
    assert f"**{called}** ({', '.join([*words, f'hold {hold}'])})." in part
    assert "*What to do:* " in part
    inside = re.findall(r"^\*Inside:\* (.*)\.$", part, re.MULTILINE)
    assert inside == ([", ".join(rule.consequence_of)] if rule.consequence_of else [])
