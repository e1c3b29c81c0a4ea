"""Draw the README's picture, of a photo, its overlay and its leads: `python examples/figure.py photo.jpg out.jpg`.

Needs the extra `plot`.
"""

from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
from PIL import Image

import ecg_trt
from ecg_trt.io.readers.photo import read_photo
from ecg_trt.io.writers.overlay import draw_overlay

WIDTH, GAP = 1400, 16  # px


def scaled(picture: np.ndarray, *, width: int) -> Image.Image:
    """Scale an (H, W, 3) uint8 picture to a width."""
    image = Image.fromarray(picture)
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


def main(photo: str, target: str) -> None:
    """Read the photo and lay the three pictures out."""
    with ecg_trt.Digitizer() as digitizer:
        reading = digitizer.read(photo)
    buffer = BytesIO()
    reading.record.plot().savefig(buffer, dpi=110)
    overlay = draw_overlay(reading.page, reading.strips, reading.trace, reading.record)
    leads = np.asarray(Image.open(buffer).convert("RGB"))
    image = read_photo(photo).image
    # Side by side above the overlay, photo and leads are equally high.
    shapes = [picture.shape[1] / picture.shape[0] for picture in (image, leads)]
    height = (WIDTH - GAP) / sum(shapes)
    above = [scaled(p, width=round(height * shape)) for p, shape in zip((image, leads), shapes, strict=True)]
    below = scaled(overlay, width=WIDTH)
    sheet = Image.new("RGB", (WIDTH, above[0].height + GAP + below.height), "white")
    sheet.paste(above[0], (0, 0))
    sheet.paste(above[1], (WIDTH - above[1].width, 0))
    sheet.paste(below, (0, above[0].height + GAP))
    sheet.save(target, quality=80)


if __name__ == "__main__":
    main(*sys.argv[1:3])
