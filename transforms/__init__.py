"""MONAI transforms for breast imaging: one family a file, each as an array and a dictionary version.

Names are imported when first used: `from transforms import LoadBreastsd`, or `_target_: transforms.LoadBreastsd`
in a config. `import transforms` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.augment import RandRotateFlip, RandRotateFlipd
    from transforms.breast_mri.exam_boxes import BoxResultd
    from transforms.breast_mri.exam_maps import MalignancyResultd
    from transforms.breast_mri.imagenet import ImageNetInput, ImageNetInputd
    from transforms.breast_mri.kinetics import KineticChannels, KineticChannelsd
    from transforms.breast_mri.lesion_boxes import LesionBoxesd
    from transforms.breast_mri.lesion_slices import LoadLesionSlices, LoadLesionSlicesd
    from transforms.breast_mri.load_breasts import LoadBreasts, LoadBreastsd
    from transforms.breast_mri.read_masks import LoadLesionMaskd, RandLesionPatchd
    from transforms.breast_mri.read_patches import LoadLesionPatchd, LoadSliced
    from transforms.breast_mri.read_stacks import LoadPhasesd, RandFlipCropStackd
    from transforms.breast_mri.slice_stacks import LoadSliceStack, LoadSliceStackd, PhaseInputd
    from transforms.breast_ultrasound.center_crops import LoadCenterCrops
    from transforms.breast_ultrasound.read_crops import LoadCropd
    from transforms.breast_ultrasound.volume import LoadVolumed
    from transforms.errors import InputError
    from transforms.mammography.reading import read_mammogram
    from transforms.mammography.scale import FitSquared, ScaleToWidth, ScaleToWidthd
    from transforms.mammography.views import (
        LoadMammogramd,
        LoadRegiond,
        LoadViews,
        ReadMammogramd,
        StackViews,
        Standardised,
    )
    from transforms.mammography.windows import BreastWindowd
    from transforms.n4 import N4BiasFieldCorrection, N4BiasFieldCorrectiond
    from transforms.read_prepared import LoadPreparedd

_HOME = {
    "BoxResultd": "breast_mri.exam_boxes",
    "BreastWindowd": "mammography.windows",
    "FitSquared": "mammography.scale",
    "ImageNetInput": "breast_mri.imagenet",
    "ImageNetInputd": "breast_mri.imagenet",
    "InputError": "errors",
    "KineticChannels": "breast_mri.kinetics",
    "KineticChannelsd": "breast_mri.kinetics",
    "LesionBoxesd": "breast_mri.lesion_boxes",
    "LoadBreasts": "breast_mri.load_breasts",
    "LoadBreastsd": "breast_mri.load_breasts",
    "LoadCenterCrops": "breast_ultrasound.center_crops",
    "LoadCropd": "breast_ultrasound.read_crops",
    "LoadLesionMaskd": "breast_mri.read_masks",
    "LoadLesionPatchd": "breast_mri.read_patches",
    "LoadLesionSlices": "breast_mri.lesion_slices",
    "LoadLesionSlicesd": "breast_mri.lesion_slices",
    "LoadMammogramd": "mammography.views",
    "LoadPhasesd": "breast_mri.read_stacks",
    "LoadPreparedd": "read_prepared",
    "LoadRegiond": "mammography.views",
    "LoadSliceStack": "breast_mri.slice_stacks",
    "LoadSliceStackd": "breast_mri.slice_stacks",
    "LoadSliced": "breast_mri.read_patches",
    "LoadViews": "mammography.views",
    "LoadVolumed": "breast_ultrasound.volume",
    "MalignancyResultd": "breast_mri.exam_maps",
    "N4BiasFieldCorrection": "n4",
    "N4BiasFieldCorrectiond": "n4",
    "PhaseInputd": "breast_mri.slice_stacks",
    "RandFlipCropStackd": "breast_mri.read_stacks",
    "RandLesionPatchd": "breast_mri.read_masks",
    "RandRotateFlip": "augment",
    "RandRotateFlipd": "augment",
    "ReadMammogramd": "mammography.views",
    "ScaleToWidth": "mammography.scale",
    "ScaleToWidthd": "mammography.scale",
    "StackViews": "mammography.views",
    "Standardised": "mammography.views",
    "read_mammogram": "mammography.reading",
}

__all__ = [
    "BoxResultd", "BreastWindowd", "FitSquared", "ImageNetInput", "ImageNetInputd", "InputError", "KineticChannels",
    "KineticChannelsd", "LesionBoxesd", "LoadBreasts", "LoadBreastsd", "LoadCenterCrops", "LoadCropd",
    "LoadLesionMaskd", "LoadLesionPatchd", "LoadLesionSlices", "LoadLesionSlicesd", "LoadMammogramd", "LoadPhasesd",
    "LoadPreparedd", "LoadRegiond", "LoadSliceStack", "LoadSliceStackd", "LoadSliced", "LoadViews", "LoadVolumed",
    "MalignancyResultd", "N4BiasFieldCorrection", "N4BiasFieldCorrectiond", "PhaseInputd", "RandFlipCropStackd",
    "RandLesionPatchd", "RandRotateFlip", "RandRotateFlipd", "ReadMammogramd", "ScaleToWidth", "ScaleToWidthd",
    "StackViews", "Standardised", "read_mammogram",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'transforms' has no attribute {name!r}")
    return getattr(import_module(f"transforms.{_HOME[name]}"), name)
