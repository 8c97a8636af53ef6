"""What a DICOM mammogram holds: grey values, side, view, spacing, and the edge of the chest wall."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from transforms.dicom_pixels import MOST_PIXELS, decode_pixels
from transforms.errors import InputError

# Only these are read: names and dates of patients stay in the file.
_TAGS: list[Any] = [
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction",
    "WindowCenter", "WindowWidth", "LossyImageCompression", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "PixelData", "ImageLaterality", "Laterality", "SharedFunctionalGroupsSequence",
    "PatientID", "StudyInstanceUID", "PresentationIntentType",
    "ViewPosition", "ViewCodeSequence", "PatientOrientation", "PixelSpacing", "ImagerPixelSpacing",
]
_VIEW_CODES = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}  # SNOMED CT, SNOMED RT
# CBIS-DDSM writes the picture's name where the patient's id belongs: Mass-Training_P_00001_LEFT_CC.
_IMAGE_AS_PATIENT = re.compile(r"^(?:Mass|Calc)-(?:Training|Test)_(P_\d{5})_.*")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass
class DicomMammogram:
    """As `transforms.mammography.reading.Mammogram`, as stored and with None for what the header does not say.

    Attributes:
        wall: `left` or `right`, the edge of the chest wall by PatientOrientation.
        origin: as of `Mammogram`.
    """

    pixels: np.ndarray
    side: str | None
    view: str | None
    wall: str | None
    spacing_mm: tuple[float, float] | None
    notes: list[str] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)


def is_dicom(name: str, raw: bytes) -> bool:
    """Whether a file is meant to be DICOM, by its mark or its name."""
    return raw[128:132] == b"DICM" or name.lower().endswith((".dcm", ".dicom"))


def read_dicom(name: str, raw: bytes, window: bool = False) -> DicomMammogram:
    """Read a DICOM mammogram: modality LUT, window where wanted, MONOCHROME1 inverted, padding to the darkest value.

    Args:
        name: file name, for messages.
        raw: the file.
        window: apply the VOI LUT, or the first window.

    Raises:
        InputError: with code `unreadable`, `truncated`, `corrupt`, `no_pixels`, `plugin`, `polarity` or `view`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values of the header
        _check_deflated(name, raw)
        try:
            header = pydicom.dcmread(io.BytesIO(raw), force=True, specific_tags=_TAGS)  # force: no mark is needed
            if not len(header) and raw[128:132] != b"DICM":
                raise ValueError
        except Exception:  # pydicom raises many kinds for a damaged header, some of which quote it
            raise InputError(f"{name}: not a DICOM file, or its header is damaged; copy it again",
                             code="unreadable") from None
        stored = decode_pixels(name, header)
        side, view = _side(name, header), _view(name, header)
        notes = ["compressed with loss"] if header.get("LossyImageCompression") == "01" else []
        pixels = stored @ _LUMA if stored.ndim == 3 else _look_up(name, stored, header, window)
    if stored.ndim == 3:
        notes.append("colour picture, converted to grey")
    if header.BitsStored <= 8:
        notes.append("8 bits a pixel")
    padding = _padding(header, stored) if stored.ndim == 2 else None
    if padding is None or padding.all():
        padding = np.zeros(pixels.shape, bool)
    if header.PhotometricInterpretation == "MONOCHROME1":  # the brightest stored value, empty film, becomes 0
        pixels = pixels[~padding].max() - pixels
    pixels[padding] = pixels[~padding].min()
    return DicomMammogram(pixels, side, view, _wall(header), _spacing(header), notes, _origin(header))


def _check_deflated(name: str, raw: bytes) -> None:
    """Refuse a deflated file that inflates to more than an image can be, before pydicom inflates all of it."""
    try:
        meta = pydicom.filereader.read_partial(io.BytesIO(raw), stop_when=lambda tag, *_: tag.group > 2).file_meta
        if meta.get("TransferSyntaxUID") != pydicom.uid.DeflatedExplicitVRLittleEndian:
            return
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        engine.decompress(raw[144 + meta.FileMetaInformationGroupLength :], 8 * MOST_PIXELS)
        fits = not engine.unconsumed_tail
    except Exception:  # damaged: whoever reads it says so
        return
    if not fits:
        raise InputError(f"{name}: inflates to more than a mammogram holds; export it uncompressed", code="unreadable")


def _origin(header: FileDataset) -> dict[str, str]:
    """Digests of patient and study, and the pixels' intent, of what the header says."""
    named = str(header.get("PatientID") or "")
    patient = _IMAGE_AS_PATIENT.sub(r"\1", named)
    study = header.get("StudyInstanceUID") if patient == named else None  # there, each picture is a study too
    said = {"patient": patient, "study": study}
    origin = {what: hashlib.sha256(str(value).encode()).hexdigest() for what, value in said.items() if value}
    intent = str(header.get("PresentationIntentType") or "")
    return {**origin, "intent": intent} if intent in ("FOR PROCESSING", "FOR PRESENTATION") else origin


def _look_up(name: str, stored: np.ndarray, header: FileDataset, window: bool) -> np.ndarray:
    slope = header.get("RescaleSlope")
    if slope is not None and not float(slope) > 0:
        raise InputError(f"{name}: its rescale slope is not above 0, which inverts the grey scale; export it again",
                         code="polarity")
    try:
        values = apply_modality_lut(stored, header)
        return (apply_voi_lut(values, header) if window else values).astype(np.float32)
    except Exception:  # a table that is cut short, or that lacks its descriptor
        raise InputError(f"{name}: its look-up table is damaged; export it again", code="corrupt") from None


def _padding(header: FileDataset, stored: np.ndarray) -> np.ndarray | None:
    """Where the stored value is padding: one value, or a range of them."""
    first = header.get("PixelPaddingValue")
    if first is None:
        return None
    last = header.get("PixelPaddingRangeLimit")
    low, high = sorted((int(first), int(first if last is None else last)))
    return (stored >= low) & (stored <= high)


def _side(name: str, header: FileDataset) -> str | None:
    """L or R: of the image, else of the frame, else of the series."""
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    frame = shared[0].get("FrameAnatomySequence") or [{}]
    for value in (header.get("ImageLaterality"), frame[0].get("FrameLaterality"), header.get("Laterality")):
        if value:
            if value not in ("L", "R"):
                raise InputError(f"{name}: its header gives laterality {str(value)[:8]!r}, not L or R; leave it out",
                                 code="view")
            return str(value)
    return None


def _view(name: str, header: FileDataset) -> str | None:
    """CC or MLO, by ViewPosition, else by code."""
    position = str(header.get("ViewPosition") or "").strip().upper()
    codes = header.get("ViewCodeSequence") or []
    if not position and codes:
        code = str(codes[0].get("CodeValue", ""))
        position = _VIEW_CODES.get(code, code)
    if position and position not in ("CC", "MLO"):
        raise InputError(f"{name}: its header gives view {position[:16]!r}, not CC or MLO; leave it out", code="view")
    return position or None


def _wall(header: FileDataset) -> str | None:
    """Columns that run to anterior start at the chest wall, those that run to posterior end there."""
    orientation = header.get("PatientOrientation") or [""]
    return {"A": "left", "P": "right"}.get(str(orientation[0])[:1])


def _spacing(header: FileDataset) -> tuple[float, float] | None:
    spacing = header.get("ImagerPixelSpacing") or header.get("PixelSpacing")
    return (float(spacing[0]), float(spacing[1])) if spacing and len(spacing) == 2 else None
