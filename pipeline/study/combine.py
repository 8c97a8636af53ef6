"""`python -m pipeline combine`: a variant made of other variants' predictions in a fold.

```
python -m pipeline combine RUN ensemble --fold 0 --kind selection --of t0,t1,t2 --task malignant
```

reads `RUN/t0/fold0/predictions.csv` and those of the others, and writes `RUN/ensemble/fold0/weights.json` and a
`predictions.csv` whose scores are the weighted mean of theirs, validation and test rows alike. Of kind `mean` all
weigh the same. Of kind `selection` weights are how often `pipeline.metrics.ensemble_selection` takes each, by the AUROC
of the fold's validation rows, of the task that leads where there are several; no test row plays a part.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError
from pipeline.files.atomic import write_json, write_table
from pipeline.files.receipts import digest
from pipeline.files.tables import read_results
from pipeline.prediction_rows import COLUMNS, ITEM
from pipeline.study.generators import KINDS
from pipeline.study.plan import predictions_of
from pipeline.study.step import Step

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = "weights.json"
_AGAIN = "run the same `python -m pipeline study ...` command again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the study")
    parser.add_argument("name", help="the combined variant's name")
    parser.add_argument("--fold", type=int, required=True, help="which fold")
    parser.add_argument("--kind", choices=KINDS, required=True, help="mean: all weigh the same; selection: by "
                        "hill-climbing on validation AUROC, with replacement")
    parser.add_argument("--of", required=True, metavar="A,B", help="the variants it is made of, separated by commas")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weigh as this weights.json says, which the same "
                        "variant has in a study that is applied to another cohort; nothing is selected")
    parser.add_argument("--task", help="of predictions of several tasks, the one by which is selected (default: the "
                        "first in the table)")


def main(args: argparse.Namespace) -> int:
    """Combine, and write both files."""
    names = args.of.split(",")
    if len(set(names)) < len(names) or args.name in names:
        raise InputError(f"--of {args.of}: name each of the others once")
    tables = {name: _read(args.run, name, args.fold, args.name) for name in names}
    first, where = tables[names[0]], f"{args.name} fold {args.fold}"
    scores = {name: _scores(table, first, name, names[0], where) for name, table in tables.items()}
    if args.weights is not None:
        told: dict[str, Any] = {"weights": _given(args.weights, names)}
    elif args.kind == "mean":
        told = {"weights": dict.fromkeys(names, 1 / len(names))}
    else:
        told = _selected(first, scores, args.task, where)
    mean = sum(scores[name] * weight for name, weight in told["weights"].items())
    folder = args.run / args.name / f"fold{args.fold}"
    write_json(folder / WEIGHTS, {"kind": args.kind, "fold": args.fold, **told})
    rows = first.assign(score=mean.round(6)).to_dict("records")
    write_table(folder / "predictions.csv", [{str(key): value for key, value in row.items()} for row in rows])
    print(f"{where}: " + ", ".join(f"{name} {weight:.3g}" for name, weight in told["weights"].items()))
    return 0


def _given(path: Path, names: Sequence[str]) -> dict[str, float]:
    """The weights of another cohort's combination, of the same variants."""
    try:
        weights = {str(name): float(weight) for name, weight in
                   json.loads(path.read_text(encoding="utf-8"))["weights"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path.name}: no weights of a combined variant; {_AGAIN}") from None
    if set(weights) != set(names):
        raise InputError(f"{path.name}: weighs {', '.join(weights)}; give these to --of")
    return weights


def _read(run: Path, name: str, fold: int, wanted_by: str) -> pd.DataFrame:
    """A variant's predictions, every cell a text."""
    path = predictions_of(run, name, fold, wanted_by)
    receipt = Step("evaluate", path.parent, []).receipt()
    if receipt is not None and receipt["outputs"].get(path.name, {}).get("sha256") != digest(path):
        raise InputError(f"{name} fold {fold}: its predictions are not what the evaluation wrote; {_AGAIN}")
    table = read_results(path, COLUMNS, _AGAIN, dtype=str)
    if "variant" in table:
        raise InputError(f"{wanted_by}: {name} has several scores a row in fold {fold}; combine variants that have one")
    return table


def _scores(table: pd.DataFrame, first: pd.DataFrame, name: str, leader: str, where: str) -> pd.Series:
    """A variant's scores in the order of the first one's rows.

    Raises:
        InputError: other rows or other labels, or a score that is none.
    """
    import pandas as pd

    keys = [*(column for column in ITEM if column in first), "split", "label"]
    if not set(keys) <= set(table) or not _index(table, keys).sort_values().equals(_index(first, keys).sort_values()):
        raise InputError(f"{where}: {name} scores other rows, or has other labels, than {leader}; remove the older of "
                         f"the two folders and {_AGAIN}")
    score = pd.to_numeric(table["score"], errors="coerce")
    if not score.between(0, 1).all() or _index(table, keys).has_duplicates:
        raise InputError(f"{where}: {name} has a score outside [0, 1], or a row twice; {_AGAIN}")
    return score.set_axis(_index(table, keys)).reindex(_index(first, keys)).set_axis(first.index)


def _index(table: pd.DataFrame, keys: Sequence[str]) -> pd.MultiIndex:
    import pandas as pd

    return pd.MultiIndex.from_frame(table[list(keys)])


def _selected(table: pd.DataFrame, scores: Mapping[str, pd.Series], task: str | None, where: str) -> dict[str, Any]:
    """Weights by the validation rows whose label is known; nothing else of the table is looked at."""
    import numpy as np
    import pandas as pd

    from pipeline.metrics import ensemble_selection

    label = pd.to_numeric(table["label"], errors="coerce")
    chosen = (table["split"] == "validation") & label.isin([0, 1])
    if "task" in table:
        task = task or str(table["task"].iloc[0])
        chosen &= table["task"] == task
    label = label[chosen].astype(int)
    if label.nunique() < 2:
        raise InputError(f"{where}: its validation rows lack a class, so that nothing can be selected; leave it out "
                         "with --variants, or write folds that validate")
    found = ensemble_selection(label, np.stack([score[chosen] for score in scores.values()]))
    names, total = list(scores), sum(found.counts)
    return {"task": task if "task" in table else None, "validation_auroc": found.area,
            "weights": {name: count / total for name, count in zip(names, found.counts, strict=True)},
            "added": [{"variant": names[which], "validation_auroc": area} for which, area in found.path[:total]]}
