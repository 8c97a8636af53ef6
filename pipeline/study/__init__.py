"""Run a paper's table: prepare once, then train and evaluate every variant in every fold.

A bundle's `configs/study.yaml` names the variants and their stages; each stage is one `python -m monai.bundle run`
command, printed before it starts and the same as one would type. Finished stages are skipped, interrupted ones go on
from their last epoch, so the same command is repeated until the table is full.

```
RUN/study.json                          what was asked for, and what is done
RUN/verify.json  RUN/prepared/          the datalist's check, and the arrays
RUN/VARIANT/foldK/STAGE/                config.yaml, log.txt, TensorBoard, weights
RUN/VARIANT/foldK/predictions.csv       what the report reads
RUN/COMBINED/foldK/weights.json         of variants made from others' predictions, beside their own
```
"""

from pipeline.study.command import add_arguments, main

__all__ = ["add_arguments", "main"]
