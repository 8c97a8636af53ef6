"""Variants that `study.yaml` does not write out: of subsets of contrasts, of each value of a setting, of others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import InputError

KINDS = ("mean", "selection")  # of `combined`
_EACH = ("values", "existing", "variant", "label", "paper", "stages", "evaluate", "axis", "ticks")


def trained_variants(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """All variants that are trained or scored: `variants`, then those of `subsets`, then those of `each`.

    Raises:
        InputError: a name twice, or an `existing` one that is not there.
    """
    variants = dict(plan.get("variants") or {})
    if "subsets" in plan:
        _add(variants, subset_variants(plan["subsets"]))
    for setting, entry in (plan.get("each") or {}).items():
        _add(variants, each_variants(setting, entry, plan["presets"]))
        for value, name in (entry.get("existing") or {}).items():
            if name not in variants:
                raise InputError(f"study.yaml: {setting} {value} is to be {name}, which is no variant")
            known = variants[name].get("each", {})
            variants[name] = {**variants[name], "each": {**known, setting: value}}
    return variants


def _add(variants: dict[str, dict[str, Any]], more: Mapping[str, dict[str, Any]]) -> None:
    if twice := variants.keys() & more.keys():
        raise InputError(f"study.yaml: variant {min(twice)} is there twice; rename one")
    variants.update(more)


def each_variants(setting: str, entry: Mapping[str, Any], presets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A variant for each value of a setting, `{setting}` filled into its stages' settings.

    Args:
        setting: its name.
        entry: `values`, of all presets or of each by its name; `variant` and `label`, their names as format strings
            (`"{share:.0%} of the exams"`); `stages` and `evaluate`; `existing`, value to the variant that is that row
            already; `paper`, value to figures. All else is every variant's.
        presets: the study's.
    """
    variants = {}
    shared = {key: value for key, value in entry.items() if key not in _EACH}
    for value in _values(entry):
        if value in (entry.get("existing") or {}):
            continue
        name = entry.get("variant", f"{setting}_{{{setting}}}").format(**{setting: value})
        runs = [p for p in shared.get("presets", presets) if value in _of_preset(entry["values"], p)]
        variants[name] = {
            **shared, "label": entry.get("label", name).format(**{setting: value}),
            "paper": (entry.get("paper") or {}).get(value, {}),
            "each": {setting: value},
            "stages": [_filled(stage, setting, str(value)) for stage in entry["stages"]],
            "evaluate": _filled(entry["evaluate"], setting, str(value)),
            **({"presets": runs} if len(runs) < len(presets) else {})}
    return variants


def _values(entry: Mapping[str, Any]) -> list[Any]:
    """All values, whichever preset runs them."""
    values = entry["values"]
    return list(dict.fromkeys(itertools.chain(*values.values()))) if isinstance(values, Mapping) else list(values)


def _of_preset(words: Any, preset: str) -> Any:
    """A list that holds for all presets, or a preset's own."""
    return words.get(preset, []) if isinstance(words, Mapping) else words


def _filled(entry: Mapping[str, Any], name: str, value: str) -> dict[str, Any]:
    """A stage with a value in the place of `{name}`; other places, such as `{run}`, are the study's."""
    settings = {k: str(v).replace(f"{{{name}}}", value) for k, v in entry.get("settings", {}).items()}
    return {**entry, "settings": settings}


def subset_variants(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A variant for every subset of contrasts; names keep the order of `of`, joined by +."""
    variants = {}
    for chosen in itertools.combinations(plan["of"], plan["size"]):
        name, channels = "+".join(chosen), f"[{','.join(chosen)}]"
        variants[name] = {"label": ", ".join(chosen), "parameters": plan["parameters"],
                          "paper": plan["paper"].get(name, {}),
                          "stages": [_filled(stage, "channels", channels) for stage in plan["stages"]],
                          "evaluate": _filled(plan["evaluate"], "channels", channels)}
    return variants


def combined_variants(plan: Mapping[str, Any], preset: str) -> dict[str, dict[str, Any]]:
    """The `combined` of a preset, each `of` the variants that it takes there.

    Raises:
        InputError: an unknown kind, a name that is there already, or members that are not trained.
    """
    found = {}
    for name, entry in (plan.get("combined") or {}).items():
        if preset not in entry.get("presets", [preset]):
            continue
        if name in plan["variants"]:
            raise InputError(f"study.yaml: variant {name} is there twice; rename one")
        if entry.get("kind") not in KINDS:
            raise InputError(f"study.yaml: combined {name}: `kind` is none of {', '.join(KINDS)}")
        members = _of_preset(entry["of"], preset)
        for member in members:
            known = plan["variants"].get(member)
            if known is None or known.get("rows") or preset not in known.get("presets", [preset]):
                raise InputError(f"study.yaml: combined {name} takes {member}, which is no variant of preset {preset} "
                                 f"with rows of its own; write what it takes there as `of: {{{preset}: [...]}}`")
        if not members:
            raise InputError(f"study.yaml: combined {name} takes nothing in preset {preset}; say `of` what it is there")
        found[name] = {**entry, "of": list(members)}
    return found


def curves_of(plan: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Settings of `each` whose values are numbers: the report shows their variants' areas as a curve."""
    return {setting: {"axis": entry.get("axis", setting), "ticks": entry.get("ticks", f"{{{setting}:g}}")}
            for setting, entry in (plan.get("each") or {}).items() if all(map(_is_number, _values(entry)))}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
