"""MONAI transforms for breast imaging: one family a file, each as an array and a dictionary version.

Names are imported when first used: `from transforms import LoadBreastsd`, or `_target_: transforms.LoadBreastsd`
in a config. `import transforms` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.augment import RandRotateFlip, RandRotateFlipd
    from transforms.center_crops import LoadCenterCrops
    from transforms.errors import InputError
    from transforms.exam_maps import MalignancyResultd
    from transforms.imagenet import ImageNetInput, ImageNetInputd
    from transforms.kinetics import KineticChannels, KineticChannelsd
    from transforms.lesion_slices import LoadLesionSlices, LoadLesionSlicesd
    from transforms.load_breasts import LoadBreasts, LoadBreastsd
    from transforms.mammogram import read_mammogram
    from transforms.mammogram_geometry import BreastWindowd
    from transforms.mammogram_scale import FitSquared, ScaleToWidth, ScaleToWidthd
    from transforms.mammogram_views import (
        LoadMammogramd,
        LoadRegiond,
        LoadViews,
        ReadMammogramd,
        StackViews,
        Standardised,
    )
    from transforms.n4 import N4BiasFieldCorrection, N4BiasFieldCorrectiond
    from transforms.read_prepared import LoadCropd, LoadLesionPatchd, LoadPreparedd, LoadSliced
    from transforms.volume import LoadVolumed

_HOME = {
    "BreastWindowd": "mammogram_geometry",
    "FitSquared": "mammogram_scale",
    "ImageNetInput": "imagenet",
    "ImageNetInputd": "imagenet",
    "InputError": "errors",
    "KineticChannels": "kinetics",
    "KineticChannelsd": "kinetics",
    "LoadBreasts": "load_breasts",
    "LoadBreastsd": "load_breasts",
    "LoadCenterCrops": "center_crops",
    "LoadCropd": "read_prepared",
    "LoadLesionPatchd": "read_prepared",
    "LoadLesionSlices": "lesion_slices",
    "LoadLesionSlicesd": "lesion_slices",
    "LoadMammogramd": "mammogram_views",
    "LoadPreparedd": "read_prepared",
    "LoadRegiond": "mammogram_views",
    "LoadSliced": "read_prepared",
    "LoadViews": "mammogram_views",
    "LoadVolumed": "volume",
    "MalignancyResultd": "exam_maps",
    "N4BiasFieldCorrection": "n4",
    "N4BiasFieldCorrectiond": "n4",
    "RandRotateFlip": "augment",
    "RandRotateFlipd": "augment",
    "ReadMammogramd": "mammogram_views",
    "ScaleToWidth": "mammogram_scale",
    "ScaleToWidthd": "mammogram_scale",
    "StackViews": "mammogram_views",
    "Standardised": "mammogram_views",
    "read_mammogram": "mammogram",
}

__all__ = [
    "BreastWindowd", "FitSquared", "ImageNetInput", "ImageNetInputd", "InputError", "KineticChannels",
    "KineticChannelsd", "LoadBreasts", "LoadBreastsd", "LoadCenterCrops", "LoadCropd", "LoadLesionPatchd",
    "LoadLesionSlices", "LoadLesionSlicesd", "LoadMammogramd", "LoadPreparedd", "LoadRegiond", "LoadSliced",
    "LoadViews", "LoadVolumed", "MalignancyResultd", "N4BiasFieldCorrection", "N4BiasFieldCorrectiond",
    "RandRotateFlip", "RandRotateFlipd", "ReadMammogramd", "ScaleToWidth", "ScaleToWidthd", "StackViews",
    "Standardised", "read_mammogram",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'transforms' has no attribute {name!r}")
    return getattr(import_module(f"transforms.{_HOME[name]}"), name)
