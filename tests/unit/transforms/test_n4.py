"""N4 against ITK's filter, against fields that are known, and by what must not change."""

from __future__ import annotations

import itk
import numpy as np
import pytest
import torch
from real_data import FOLDER, needs
from scipy import ndimage

from transforms import InputError, N4BiasFieldCorrection, N4BiasFieldCorrectiond
from transforms.load import read_image

SHAPE = (48, 40, 20)


@pytest.fixture(scope="module")
def phantom() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, mask and true log field: three tissues in an ellipsoid, noise, a smooth field of ±25 %."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    mask = x**2 + y**2 + 0.6 * z**2 < 0.85
    texture = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2)
    tissue = np.select([texture > 0.08, texture < -0.08], [0.5, 0.7], 1.0)
    field = 0.25 * np.sin(1.5 * x + 0.5) + 0.2 * y - 0.1 * z * x
    image = 400 * tissue * np.exp(field) * (1 + 0.02 * rng.standard_normal(SHAPE))
    return np.where(mask, image, 1).astype(np.float32), mask, (field - field[mask].mean()).astype(np.float32)


def errors(field: torch.Tensor, truth: np.ndarray, mask: np.ndarray) -> float:
    """Rms difference of two log fields in the mask; N4 leaves their mean open."""
    return float((field[0].numpy() - truth)[mask].std())


@pytest.mark.parametrize(("shrink", "iterations"), [(1, [1]), (1, [4, 4]), ((2, 2, 1), [20, 20, 20])])
def test_equals_itk(phantom, shrink, iterations) -> None:
    image, mask, _ = phantom
    options = {"shrink_factor": shrink, "iterations": iterations, "convergence_threshold": 0.0,
               "return_log_field": True}
    inside = torch.from_numpy(mask)
    corrected, ours = N4BiasFieldCorrection(**options)(torch.from_numpy(image[None]), inside)
    theirs, field = N4BiasFieldCorrection(**options, backend="itk")(torch.from_numpy(image[None]), inside)
    assert field[0][inside].std() > 1e-3
    assert (ours - field)[0][inside].abs().max() < 1e-3
    assert (corrected / theirs)[0][inside].sub(1).abs().max() < 1e-3


def test_the_itk_backend_is_itks_own_output(phantom) -> None:
    """At full size, the filter's image itself, which its wrapper cuts to whole numbers; ITK's arrays run z, y, x."""
    image, mask, _ = phantom
    found = N4BiasFieldCorrection(1, [3], backend="itk")(image[None], mask)
    correct = itk.N4BiasFieldCorrectionImageFilter.New(itk.image_from_array(np.ascontiguousarray(image.T)))
    correct.SetMaskImage(itk.image_from_array(np.ascontiguousarray(mask.T.astype(np.uint8))))
    correct.SetMaximumNumberOfIterations([3])
    correct.Update()
    expected = itk.array_from_image(correct.GetOutput()).T
    assert np.abs(np.asarray(found)[0][mask] - expected[mask] - 0.5).max() < 0.6


def test_finds_the_true_field_no_worse_than_itk(phantom) -> None:
    image, mask, truth = phantom
    inside = torch.from_numpy(mask)
    found = {}
    for backend in ("torch", "itk"):
        correct = N4BiasFieldCorrection((2, 2, 1), [30] * 3, return_log_field=True, backend=backend)
        found[backend] = errors(correct(torch.from_numpy(image[None]), inside)[1], truth, mask)
    assert truth[mask].std() > 0.14
    assert found["torch"] < 0.05
    assert found["torch"] <= found["itk"] + 1e-3


@pytest.mark.slow
@needs("breast_mri_subvolume")
def test_a_known_factor_on_a_real_image_is_found() -> None:
    """The field of an image times a known factor is the image's own field times the factor."""
    image = read_image(FOLDER / "breast_mri_subvolume" / "breast1_image.nrrd").array.astype(np.float32)
    image = image[..., 0] if image.ndim == 4 else image
    image = image - image.min() + 1
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
    factor = np.exp(0.3 * x - 0.2 * y * x).astype(np.float32)
    mask = image > np.percentile(image, 40)
    correct = N4BiasFieldCorrection((2, 2, 1), return_log_field=True)
    _, before = correct(image[None], mask)
    _, after = correct((image * factor)[None], mask)
    change = (np.asarray(after) - np.asarray(before))[0][mask]
    assert np.corrcoef(change, np.log(factor)[mask])[0, 1] > 0.9


def test_channels_are_corrected_each_by_itself(phantom) -> None:
    image, mask, _ = phantom
    both = torch.from_numpy(np.stack([image, image[::-1] ** 0.9]))
    correct = N4BiasFieldCorrection(2, [5, 5])
    masks = torch.from_numpy(np.stack([mask, mask[::-1]]))
    found = correct(both, masks)
    for c in range(2):
        torch.testing.assert_close(found[c], correct(both[c : c + 1], masks[c : c + 1])[0])


def test_scale_and_memory_order_do_not_matter(phantom) -> None:
    image, mask, _ = phantom
    correct = N4BiasFieldCorrection((2, 1, 1), [5, 5])
    plain = correct(torch.from_numpy(image[None]), torch.from_numpy(mask))
    scaled = correct(torch.from_numpy(1000 * image[None]), torch.from_numpy(mask))
    torch.testing.assert_close(scaled / 1000, plain, rtol=2e-3, atol=0.1)
    turned = torch.from_numpy(np.ascontiguousarray(image.T)).permute(2, 1, 0)[None]  # x fastest in memory
    torch.testing.assert_close(correct(turned, torch.from_numpy(mask)), plain, rtol=1e-3, atol=0.1)


@pytest.mark.parametrize("shared", [0, 1, "mean"])
def test_one_field_for_all_keeps_ratios(phantom, shared) -> None:
    image, mask, _ = phantom
    phases = torch.from_numpy(np.stack([image, image * np.where(np.arange(20) > 9, 1.7, 1.1), image * 1.3])).float()
    found, field = N4BiasFieldCorrection(2, [5], shared=shared, return_log_field=True)(phases, torch.from_numpy(mask))
    torch.testing.assert_close(found[1] / found[0], phases[1] / phases[0])
    assert torch.equal(field[0], field[1]) and field.std() > 0


def test_dictionary_version_default_mask_and_field(phantom) -> None:
    image, *_ = phantom
    correct = N4BiasFieldCorrectiond("image", field_suffix="_log_field", shrink_factor=2, iterations=[5])
    found = correct({"image": torch.from_numpy(image[None]), "other": 1})
    assert found["other"] == 1
    torch.testing.assert_close(found["image"] * found["image_log_field"].exp(), torch.from_numpy(image[None]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_equals_cpu(phantom) -> None:
    image, mask, _ = phantom
    correct = N4BiasFieldCorrection(2, [10, 10])
    plain = correct(torch.from_numpy(image[None]), torch.from_numpy(mask))
    found = correct(torch.from_numpy(image[None]).cuda(), torch.from_numpy(mask).cuda())
    torch.testing.assert_close(found.cpu(), plain, rtol=1e-3, atol=0.1)


@pytest.mark.parametrize(("options", "message"), [
    ({"shrink_factor": 0}, "shrink_factor 0 must be 1 or more"),
    ({"shrink_factor": (2, 2)}, "one for each of 3 axes"),
    ({"iterations": [5, -1]}, "iterations"),
    ({"iterations": []}, "iterations"),
    ({"control_points": 3}, "control_points must be at least 4"),
    ({"backend": "ants"}, "choose torch or itk"),
    ({"shared": "median"}, "'mean'"),
])
def test_settings_that_make_no_sense(options, message) -> None:
    with pytest.raises(InputError, match=message):
        N4BiasFieldCorrection(**options)


def test_images_that_cannot_be_corrected(phantom) -> None:
    image, mask, _ = phantom
    correct = N4BiasFieldCorrection(1, [1])
    broken = image.copy()
    broken[3, 3, 3] = np.nan
    for wrong, inside, message in [
        (broken[None], mask, "NaN or infinite"),
        (image[None], np.zeros_like(mask), "mask is empty"),
        (-image[None], mask, "mask is empty"),
        (image[None], mask[:-1], "does not fit"),
        (image, mask, "takes .C, X, Y, Z."),
    ]:
        with pytest.raises(InputError, match=message):
            correct(wrong, inside)
    with pytest.raises(InputError, match="larger than the image"):
        N4BiasFieldCorrection((64, 1, 1), [1])(image[None], mask)
    with pytest.raises(InputError, match="no channel"):
        N4BiasFieldCorrection(1, [1], shared=3)(image[None], mask)


def test_a_constant_image_stays_as_it_is() -> None:
    image = torch.full((1, 12, 12, 8), 50.0)
    torch.testing.assert_close(N4BiasFieldCorrection(1, [3])(image, torch.ones(1, 12, 12, 8)), image)
