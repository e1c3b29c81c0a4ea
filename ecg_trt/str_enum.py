"""Enumerations whose members are strings; Python has them from 3.11 on."""

from __future__ import annotations

from enum import Enum


class StrEnum(str, Enum):
    """Base of enumerations of strings: a member is written as its value."""

    def __str__(self) -> str:
        return self.value
