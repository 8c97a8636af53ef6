"""`python -m pipeline convert LIST -o DIR`: a list's volumes as NIfTI, once, so that DICOM is not parsed each time."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, delayed
from tqdm import tqdm

from pipeline.datalist import Datalist, Exam, load, save
from pipeline.errors import InputError
from pipeline.files.atomic import leftovers, write_volume
from transforms.load import read_image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("datalist", metavar="LIST.json", help="the datalist, of MR or US")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the images and their list")
    parser.add_argument("--workers", type=int, default=1, help="images read at a time")


def main(args: argparse.Namespace) -> int:
    """Convert a list; returns the exit status."""
    if args.workers < 1:
        raise InputError(f"--workers {args.workers}: 1 or more images are read at a time")
    source, output = load(args.datalist), Path(args.output)
    written = convert(source, output, args.workers)
    save(written, output / Path(args.datalist).name)
    print(f"{sum(len(exam.images) for exam in written.exams)} images of {len(written.exams)} exams as NIfTI, and their "
          f"list, in {output}")
    return 0


def convert(source: Datalist, output: Path, workers: int = 1) -> Datalist:
    """Write every volume as `EXAM/CONTRAST.nii.gz`: same voxels, same grid, no name or date in the header.

    Images that are there are kept: the same command goes on where it was.

    Raises:
        InputError: mammograms, an image that cannot be read, or a folder that cannot be written.
    """
    if source.modality == "MG":
        raise InputError("mammograms are read from DICOM as they are; there is nothing to convert")
    output.mkdir(parents=True, exist_ok=True)
    exams = [replace(exam, images={name: f"{exam.exam_id}/{name}.nii.gz" for name in exam.images})
             for exam in source.exams]
    jobs = [(exam, source.path(exam, name), output / there.images[name])
            for exam, there in zip(source.exams, exams, strict=True) for name in exam.images]
    pool = Parallel(workers, backend="threading", return_as="generator_unordered")
    for _ in tqdm(pool(delayed(_write)(*job) for job in jobs), total=len(jobs), unit="image", desc="convert"):
        pass
    return replace(source, root=output.absolute(), exams=exams)


def _write(exam: Exam, path: Path, there: Path) -> None:
    if there.is_file():
        return
    try:
        image = read_image(path)
    except InputError as error:
        raise InputError(f"exam {exam.exam_id}: {error}", code=error.code) from None
    leftovers(there.parent)
    write_volume(there, image.array, image.affine)
