"""Networks: a family of U-Nets, with a narrow encoder of this package or one of timm's, and a reader of text."""

from train.models.encoders import NARROW, Network, build_network, count_macs
from train.models.unet import STAGES, StageSpec, UNet

__all__ = ["NARROW", "STAGES", "Network", "StageSpec", "UNet", "build_network", "count_macs"]
