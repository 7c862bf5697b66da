"""The reference network: a small 3D U-Net (Çiçek et al., MICCAI 2016) from MONAI's blocks."""

import torch
from monai.networks.nets.basic_unet import BasicUNet
from torch import nn

FEATURES = (8, 16, 32, 64, 64, 8)
"""Channels of the five levels and of the last upsampling; 16 instead of 8 at full resolution triple the time."""
LESION_LOGIT_PRIOR = -3.0
"""The first weights say 5 % everywhere."""


def build_network() -> nn.Module:
    """One-channel image to one-channel lesion logits, (batch, 1, z, y, x); each side a multiple of 16."""
    network = BasicUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        features=FEATURES,
        act=("leakyrelu", {"negative_slope": 0.05, "inplace": True}),
        # statistics of the training, not of the patch: a patch of healthy lung must not be stretched until it looks ill
        norm=("batch", {}),
        upsample="deconv",
    )
    # a voxel is rarely lesion: start from that instead of learning it first
    nn.init.constant_(network.final_conv.bias, LESION_LOGIT_PRIOR)
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]  # typed for 4-D


class WithSigmoid(nn.Module):
    """The network as it is exported: probabilities instead of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(batch, 1, z, y, x) windowed to 0..1, to probabilities of the same shape."""
        return torch.sigmoid(self.network(image))
