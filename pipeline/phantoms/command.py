"""`python -m pipeline phantom MODALITY -o DIR`: write a synthetic cohort."""

from __future__ import annotations

import argparse
import importlib

# modality -> (module with `write_cohort` and `PRESETS`, what it shows)
MODALITIES = {
    "breast_mri": ("pipeline.phantoms.breast_mri.exams", "bilateral axial DCE-MRI and T2"),
    "breast_ultrasound": ("pipeline.phantoms.breast_ultrasound.exams", "automated ultrasound volumes, NRRD"),
    "mammography": ("pipeline.phantoms.mammography.exams", "screening exams of four views, PNG and DICOM"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    shown = "; ".join(f"{name}: {text}" for name, (_, text) in MODALITIES.items())
    parser.add_argument("modality", choices=list(MODALITIES), help=shown)
    parser.add_argument("-o", "--output", required=True, metavar="DIR", default=argparse.SUPPRESS,
                        help="folder of the cohort; the same command goes on where it was stopped")
    parser.add_argument("--preset", metavar="NAME", default="demo",
                        help="demo: small matrices, for minutes on a CPU; full: the paper's. breast_mri also: spectrum "
                             "(few lesions, small matrices that differ) and thin (448×448×160)")
    parser.add_argument("--exams", type=int, metavar="N", default=argparse.SUPPRESS,
                        help="number of exams (default: the preset's)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another cohort")
    parser.add_argument("--workers", type=int, metavar="N", default=argparse.SUPPRESS,
                        help="processes (default: one a core)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a dask cluster whose workers do it instead, e.g. "
                        "tcp://head:8786")


def main(args: argparse.Namespace) -> int:
    """Write the cohort and say where it is."""
    module = importlib.import_module(MODALITIES[args.modality][0])
    output = module.write_cohort(args.output, preset=args.preset, exams=getattr(args, "exams", None),
                                 seed=args.seed, workers=getattr(args, "workers", None),
                                 scheduler=args.scheduler)
    print(f"{output}: images in exams/, labels in exams.csv, the rest in README.txt")
    return 0
