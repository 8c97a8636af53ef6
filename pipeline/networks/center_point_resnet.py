"""The 3D ResNet18 of centre-point ultrasound (§2)."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets.resnet import ResNet, ResNetBlock

from pipeline.networks.checkpoint import strict


class CenterPointResNet(ResNet):
    """ResNet18 for `(B, 1, Z, Y, X)` = (sweep, depth, lateral) with one logit `(B, 1)`; 33,161,409 parameters.

    MONAI's network with a stride of 2 in the first layer on every axis: 16×160×160 voxels become a last map of 1×5×5.
    Its cell i along an axis is centred on voxel 32 i.

    Args:
        widths: channels of the four stages.
        stem_stride: of the first convolution, one number or one an axis.
        max_pool: whether the pool follows it.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512), stem_stride: int | Sequence[int] = 2,
                 max_pool: bool = True) -> None:
        z, y, x = (stem_stride,) * 3 if isinstance(stem_stride, int) else stem_stride
        super().__init__(ResNetBlock, [2, 2, 2, 2], list(widths), spatial_dims=3, n_input_channels=1, num_classes=1,
                         conv1_t_stride=(z, y, x),  # type: ignore[arg-type]
                         no_max_pool=not max_pool, bias_downsample=True)
        deep = 16 if max_pool else 8
        strict(self)
        self.strides = (z * deep, y * deep, x * deep)  # voxels between cells of the last map
