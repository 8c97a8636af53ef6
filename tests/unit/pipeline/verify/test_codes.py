"""Every rule has a remedy."""

from __future__ import annotations

from pipeline.verify import RULES


def test_every_rule_says_what_to_do() -> None:
    assert all(rule.severity in ("error", "warning") and rule.remedy for rule in RULES.values())
