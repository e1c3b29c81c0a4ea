"""The networks: one U-Net family, told apart by data; the encoder is our own narrow one or one of timm's."""

from train.models.encoders import build_network
from train.models.unet import STAGES, StageSpec, UNet, count_macs

__all__ = ["STAGES", "StageSpec", "UNet", "build_network", "count_macs"]
