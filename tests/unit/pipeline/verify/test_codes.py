"""Every rule has a remedy."""

from __future__ import annotations

from pathlib import Path

from pipeline.verify import RULES


def test_every_rule_says_what_to_do() -> None:
    assert all(rule.severity in ("error", "warning") and rule.remedy for rule in RULES.values())


def test_the_page_of_codes_says_what_the_table_says() -> None:
    page = (Path(__file__).parents[4] / "docs" / "reference" / "verify_codes.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{code}` | {rule.severity} | {rule.reason} | {rule.remedy} |" for code, rule in RULES.items()]
