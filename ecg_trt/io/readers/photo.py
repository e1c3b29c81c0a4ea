"""Pages from paths, bytes and arrays, by whichever reader takes them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from ecg_trt.errors import (
    EcgTrtError,
    NotAnImageError,
    OptionError,
    PhotoNotFoundError,
    PhotoSizeError,
    TruncatedImageError,
)
from ecg_trt.io.readers import find_reader, unreadable
from ecg_trt.io.readers.base import (
    HEAD_BYTES,
    MAX_PAGES,
    MAX_PIXELS,
    MIN_PIXELS,
    EncodedPhoto,
    PixelLimits,
    Reader,
    check_size,
)
from ecg_trt.types import Array, Photo, Recording

_FILE = "the path of an image file"

PhotoSource: TypeAlias = "EncodedPhoto | str | os.PathLike[str] | bytes | bytearray | memoryview | Array"


def read_photo(
    source: PhotoSource, *, page: int | None = None, max_pixels: int = MAX_PIXELS, min_pixels: int = MIN_PIXELS
) -> Photo:
    """Decode a photo, or one page of a file, to upright 8-bit RGB.

    Colour modes: grey, grey with alpha, RGB, RGBA and palette (transparent parts become white paper), CMYK
    (JPEGs are taken as inverted, as Adobe writes them and Pillow assumes), 16 and 32 bits (scaled to 8),
    floats.

    Args:
        source: path, encoded bytes, an `EncodedPhoto`, or (H, W, 3) uint8 RGB array, which is taken as it is.
        page: number from 1; may be left out where the file has one page, or the `EncodedPhoto` names it.
        max_pixels: most pixels (H * W) that will be decoded.
        min_pixels: fewest pixels that make sense.

    Returns:
        The photo; its array may be read-only.

    Raises:
        PhotoNotFoundError: no such file, a directory, or no right to read it.
        NotAnImageError: empty, of an unknown kind, or an array of another shape or dtype.
        TruncatedImageError: the image ends too early or is damaged.
        PhotoSizeError: too few or too many pixels, or a side beyond MIN_SIDE_PX .. MAX_SIDE_PX.
        OptionError: a source of another type, a file of several pages of which none is chosen, or no such page.
    """
    limits = PixelLimits(min_pixels, max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    if page is not None:
        source = choose_page(source, page)
    encoded = source if isinstance(source, EncodedPhoto) else load_photo(source)
    if encoded is None:
        raise _no_photo(source)
    reader = _reader_of(encoded)
    number = encoded.page
    if number is None:
        count = _count(reader, BytesIO(encoded.data), encoded.source)
        number = 1 if count == 1 else _need_a_choice(encoded, count)
    with _own_errors_alone(encoded.source):
        return reader.read(encoded, number, limits)


def read_recording(source: object) -> Recording | None:
    """Take the signal from a file that holds it in place of a picture.

    Args:
        source: what `read_photo` takes.

    Returns:
        The recording; None for a picture, of which no more than the first bytes are read.

    Raises:
        PhotoNotFoundError: no such file, a directory, or no right to read it.
        NotAnImageError: a file that no reader takes, or a signal that is no ECG of some minutes.
        TruncatedImageError: the file ends too early or is damaged.
    """
    if isinstance(source, (str, os.PathLike)):
        with _open(Path(source)) as file:
            head, size = file.read(HEAD_BYTES), file.seek(0, os.SEEK_END)
        if find_reader(head, size, os.fspath(source)).record is None:
            return None
    encoded = source if isinstance(source, EncodedPhoto) else load_photo(source)
    record = None if encoded is None else _reader_of(encoded).record
    if encoded is None or record is None:
        return None
    with _own_errors_alone(encoded.source):
        return record(encoded)


def load_photo(source: object) -> EncodedPhoto | None:
    """Read the bytes of a path, or take bytes; None for anything else.

    Raises:
        PhotoNotFoundError: no such file, a directory, or no right to read it.
        NotAnImageError: a file that no reader takes; it is read no further than its first bytes.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return EncodedPhoto(bytes(source), f"<{len(source)} bytes>")
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        with _open(Path(source)) as file:
            head, size = file.read(HEAD_BYTES), file.seek(0, os.SEEK_END)
            find_reader(head, size, name)
            file.seek(0)
            return EncodedPhoto(file.read(), name)
    return None


def pages_of(source: Any) -> Iterator[Any]:
    """Split a file into its pages, none of them decoded yet.

    Args:
        source: what `read_photo` takes.

    Yields:
        The source itself if it has one page, is one already, or cannot be opened, which `read_photo` will report; else
        an `EncodedPhoto` for each page.
    """
    encoded, count = None, 1
    try:
        count = _count_of(source)
        if count > 1:
            encoded = source if isinstance(source, EncodedPhoto) else load_photo(source)
    except EcgTrtError:
        encoded = None
    if encoded is None:
        yield source
        return
    for number in range(1, count + 1):
        yield _page(encoded, number)


def choose_page(source: object, number: int) -> EncodedPhoto:
    """Choose one page of a file of one or several.

    Args:
        source: path, encoded bytes or an `EncodedPhoto`.
        number: from 1.

    Raises:
        OptionError: there is no such page, or the source is no file.
        InputError: the file cannot be opened, see `read_photo`.
    """
    encoded = source if isinstance(source, EncodedPhoto) else load_photo(source)
    if encoded is None:
        raise _no_photo(source)
    count = _count(_reader_of(encoded), BytesIO(encoded.data), encoded.source)
    if not 1 <= number <= count:
        raise OptionError(
            f"{encoded.source} has no page {number}",
            got=f"page={number}",
            expected="1" if count == 1 else f"1 to {count}",
            hint="Count from 1.",
        )
    return encoded if count == 1 else _page(encoded, number)


def _page(encoded: EncodedPhoto, number: int) -> EncodedPhoto:
    return EncodedPhoto(encoded.data, f"{encoded.source} (page {number})", number)


def _count_of(source: object) -> int:
    """Count the pages of a source, and read no more of its file than that takes; 1 for whatever is no file."""
    if isinstance(source, EncodedPhoto):
        return 1 if source.page is not None else _count_in(BytesIO(source.data), source.source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _count_in(BytesIO(source), "")
    if isinstance(source, (str, os.PathLike)):
        with _open(Path(source)) as file:
            return _count_in(file, os.fspath(source))
    return 1


def _count_in(file: BinaryIO, name: str) -> int:
    head, size = file.read(HEAD_BYTES), file.seek(0, os.SEEK_END)
    return _count(find_reader(head, size, name), file, name)


def _reader_of(encoded: EncodedPhoto) -> Reader:
    return find_reader(encoded.data[:HEAD_BYTES], len(encoded.data), encoded.source)


def _count(reader: Reader, file: BinaryIO, name: str) -> int:
    """Count the pages of a file, at least one."""
    if reader.count is None:
        return 1
    file.seek(0)
    with _own_errors_alone(name):
        count = reader.count(file)
    if count < 1:
        file.seek(0)
        head, size = file.read(HEAD_BYTES), file.seek(0, os.SEEK_END)
        raise unreadable(head, size, name, got=f"a {' or '.join(reader.formats)} file without a page")
    if count > MAX_PAGES:
        raise NotAnImageError(
            f"{name or 'The file'} has too many pages",
            got=f"{count} pages",
            expected=f"at most {MAX_PAGES}",
            hint="Split it.",
        )
    return count


def _need_a_choice(encoded: EncodedPhoto, count: int) -> int:
    raise OptionError(
        f"{encoded.source} has several pages",
        got=f"pages 1 to {count}",
        expected="one page",
        hint="Choose one with page=, or digitize all of them with digitize_many or `ecg-trt run`.",
    )


@contextmanager
def _own_errors_alone(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged bytes, errors of a dozen types, into errors of this package."""
    try:
        yield
    except EcgTrtError:
        raise
    except MemoryError as error:
        raise PhotoSizeError(
            f"{name} is too large",
            got="too little memory to decode it",
            expected="a photo that fits into memory",
            hint="Scale it down; 9 to 12 megapixels are plenty for a page.",
        ) from error
    except Exception as error:
        raise TruncatedImageError(
            f"{name} cannot be decoded",
            got=f"a damaged file ({type(error).__name__}: {' '.join(str(error).split())})",
            expected="a whole image",
            hint="Copy or download it once more, and open it in a viewer to check.",
        ) from error


def _no_photo(source: object) -> OptionError:
    return OptionError(
        "This is no photo",
        got=f"an object of type {type(source).__name__}",
        expected="a path, bytes, or an (H, W, 3) uint8 RGB array",
        hint="Convert it first, a Pillow image for example with numpy.asarray(image.convert('RGB')).",
    )


def _from_array(array: Array, limits: PixelLimits) -> Photo:
    """Check an array of the caller; contiguous ones are not copied."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise NotAnImageError(
            "This array is no photo",
            got=f"shape {array.shape}, dtype {array.dtype}",
            expected="shape (H, W, 3), dtype uint8, channels red, green, blue",
            hint="Scale it to 0..255, convert it to uint8, and stack grey values three times.",
        )
    height, width = array.shape[:2]
    check_size(width, height, "<array>", limits)
    return Photo(np.ascontiguousarray(array))


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file; everything that stands in the way of reading it becomes a PhotoNotFoundError."""
    hint = "Check the path; several photos may be given with a pattern such as folder/*.jpg."
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            got = "a directory" if stat.S_ISDIR(mode) else "neither a file nor a directory"
            raise PhotoNotFoundError(f"{path} is not a photo", got=got, expected=_FILE, hint=hint)
        with path.open("rb") as file:
            yield file
    except PermissionError as error:
        hint = "Give yourself the right to read it (chmod u+r), or copy it elsewhere."
        raise PhotoNotFoundError(
            f"{path} cannot be read", got="permission denied", expected="a readable file", hint=hint
        ) from error
    except OSError as error:
        got = "nothing there" if isinstance(error, FileNotFoundError) else str(error)
        raise PhotoNotFoundError(f"{path} cannot be opened", got=got, expected=_FILE, hint=hint) from error
    except ValueError as error:
        if isinstance(error, EcgTrtError):
            raise
        got = str(error)  # The path holds a NUL byte.
        raise PhotoNotFoundError(f"{path} cannot be opened", got=got, expected=_FILE, hint=hint) from error
