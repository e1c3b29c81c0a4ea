"""Networks: one U-Net family, described by data; the encoder is a narrow one of this package or one of timm's."""

from train.models.encoders import NARROW, build_network
from train.models.unet import STAGES, StageSpec, UNet, count_macs

__all__ = ["NARROW", "STAGES", "StageSpec", "UNet", "build_network", "count_macs"]
