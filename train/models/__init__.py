"""Networks: U-Nets with a narrow encoder or one of timm's, a reader of text, and a 1-D network of beats."""

from train.models.beats import BeatNet, BeatSpec
from train.models.encoders import NARROW, SIGNALS, Network, build_network, count_macs
from train.models.unet import STAGES, StageSpec, UNet

__all__ = ["NARROW", "SIGNALS", "STAGES", "BeatNet", "BeatSpec", "Network", "StageSpec", "UNet", "build_network",
           "count_macs"]  # fmt: skip
