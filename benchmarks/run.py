"""Measure speed and memory side by side: `python benchmarks/run.py [--repeats 5] [--only prepare,step,...]`.

A full run writes `benchmarks/RESULTS.md`; with `--only`, the sections asked for are replaced in it.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no threads in a process that forks
warnings.filterwarnings("ignore")

import area  # noqa: E402
import bias  # noqa: E402
import detection  # noqa: E402
import doubly_deep  # noqa: E402
import mammography  # noqa: E402
import measure  # noqa: E402
import network  # noqa: E402
import prepare  # noqa: E402
import psutil  # noqa: E402
import receipts  # noqa: E402
import scale  # noqa: E402
import small  # noqa: E402
import tradeoff  # noqa: E402
import transfer  # noqa: E402

from pipeline.phantoms.breast_mri.exams import write_cohort  # noqa: E402

RESULTS = Path(__file__).with_name("RESULTS.md")
GROUPS = ("prepare", "step", "inference", "augment", "resample", "read", "bias", "transfer", "mammography", "tradeoff",
          "area", "receipts", "exam", "detection", "scale")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="processes a work and number of threads (5)")
    parser.add_argument("--only", default="", metavar="GROUPS", help=f"of {','.join(GROUPS)}; replaces their sections")
    options = parser.parse_args()
    only = [g for g in options.only.split(",") if g]
    if unknown := sorted(set(only) - set(GROUPS)):
        parser.error(f"no group {unknown[0]!r}; choose from {', '.join(GROUPS)}")
    if options.repeats < 1:
        parser.error("repeats must be at least 1")
    with tempfile.TemporaryDirectory() as folder:
        lines = _measure(Path(folder), only or GROUPS, options.repeats)
    if only:
        text = _replaced(RESULTS.read_text(), "\n".join(lines), options.repeats)
    else:
        text = "\n".join([*_head(options.repeats), *lines]).rstrip() + "\n"
    print("\n".join(lines))
    RESULTS.write_text(text)


def _replaced(text: str, new: str, repeats: int) -> str:
    """The results with those sections replaced, or added at the end, that `new` has."""
    head, *old = text.split("\n## ")
    sections = {section.partition("\n")[0]: section.rstrip() for section in old}
    for section in ("\n" + new).split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        note = f"Measured again by itself, {repeats} repeats, torch {version('torch')}."
        sections[title] = f"{title}\n\n{note}\n{body.rstrip()}"
    return "\n\n## ".join([head.rstrip(), *sections.values()]) + "\n"


def _measure(folder: Path, groups: list[str] | tuple[str, ...], repeats: int) -> list[str]:
    measure.in_child(_phantoms, folder)
    exam, tiny = (next((folder / preset / "exams").iterdir()) for preset in ("full", "demo"))
    breasts = measure.in_child(_prepare, exam, folder)
    sections = {
        "prepare": lambda: prepare.report(exam, tiny, folder, repeats),
        "step": lambda: network.report_steps(breasts, repeats),
        "inference": lambda: network.report_inference(breasts, repeats),
        "augment": lambda: small.report_augmentation(breasts[0], repeats),
        "resample": lambda: small.report_resampling(repeats),
        "read": lambda: small.report_reading(breasts[0], folder, repeats),
        "bias": lambda: bias.report(repeats),
        "transfer": lambda: transfer.report(repeats),
        "mammography": lambda: mammography.report(repeats),
        "tradeoff": lambda: tradeoff.report(),
        "area": lambda: area.report(repeats),
        "receipts": lambda: receipts.report(breasts, folder, repeats),
        "exam": lambda: doubly_deep.report(repeats),
        "detection": lambda: detection.report(breasts, repeats),
        "scale": lambda: scale.report(folder / "scale"),
    }
    lines = []
    for group in GROUPS:
        if group in groups:
            print(group, flush=True)
            lines += sections[group]()
    return lines


def _phantoms(folder: Path) -> None:
    for preset in ("full", "demo"):
        write_cohort(folder / preset, preset, exams=1, workers=1, progress=False)


def _prepare(exam: Path, folder: Path) -> list[Path]:
    (folder / "prepared").mkdir()
    return prepare.write(prepare.ours(prepare.Exam.find(exam), measure.Stopwatch()), folder / "prepared")


def _head(repeats: int) -> list[str]:
    model, flags = platform.processor() or platform.machine(), ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        info = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        model, flags = info.get("model name", model), info.get("flags", "")
    except OSError:
        pass  # not Linux
    known = {"AVX2": "avx2", "AVX-512": "avx512f", "AMX bf16": "amx_bf16"}
    sets = [name for name, flag in known.items() if flag in flags]
    packages = ("torch", "monai", "torchio", "SimpleITK", "nibabel", "isal", "numpy", "scipy")
    return [
        "# Speed and memory",
        "",
        f"Written by `python benchmarks/run.py --repeats {repeats}` (needs `pip install -e .[bench]`); run it",
        "again for your machine. All inputs are synthetic exams. Every figure comes from processes of its own",
        f"that take turns: median (least–most) of {repeats}. \"× ours\" above 1 means that ours is better by that",
        "factor: by the medians, and in brackets by the least times, which a busy machine distorts less.",
        "Absolute figures drift with the machine's load; ratios of one run hold better.",
        "",
        f"Machine: {model} ({', '.join(sets) or 'no vector set known'}), {os.cpu_count()} cores,",
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB; {platform.system()},",
        f"Python {platform.python_version()},",
        ", ".join(f"{name} {version(name)}" for name in packages) + ".",
        "",
    ]


if __name__ == "__main__":
    main()
