"""Losses by name, weighted and added up for each head."""

from train.losses.criterion import LOSSES, Criterion, Maps, Targets
from train.losses.ridge import expected_row
from train.losses.target import Target

__all__ = ["LOSSES", "Criterion", "Maps", "Target", "Targets", "expected_row"]
