"""The three networks: one narrow U-Net family, told apart by data."""

from train.models.unet import STAGES, StageSpec, UNet, build_network, count_macs

__all__ = ["STAGES", "StageSpec", "UNet", "build_network", "count_macs"]
