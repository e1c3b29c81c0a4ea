"""Photos that are found in folders, and how they are grouped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecg_trt.archive.inputs import ArchiveItem, find_items, merge_items, merge_items_by
from ecg_trt.errors import OptionError, PhotoNotFoundError
from ecg_trt.io.readers.base import EncodedPhoto


@pytest.fixture
def scans(tmp_path):
    """A folder of photos by suffix and by content, and of what else lies in such folders."""
    folder = tmp_path / "scans"
    for name in ("b.jpg", "a.PNG", "c.txt", ".d.jpg", "sub/e.pdf", "sub/deep/f.tif", ".hidden/g.jpg", "ou/h.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"?")
    (folder / "sniffed").write_bytes(b"\xff\xd8\xff")
    (folder / "broken.jpg").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.jpg")
    return folder


def found(paths, out, **options):
    items, others = find_items(list(map(str, paths)), Path(out), **options)
    return [(item.name, item.stem) for item in items], others


def test_a_folder_gives_its_photos_in_order(scans, tmp_path):
    items, others = found([scans], tmp_path / "out")
    assert items == [(f"{scans}/{name}", stem) for name, stem in (("a.PNG", "a"), ("b.jpg", "b"), ("sniffed",) * 2)]
    assert others == [f"{scans}/{name}" for name in ("broken.jpg", "c.txt", "pipe.jpg")]


def test_folders_below_keep_their_structure(scans, tmp_path):
    items, _ = found([scans], tmp_path / "out", recursive=True)
    assert [stem for _, stem in items] == ["a", "b", "sniffed", "ou/h", "sub/e", "sub/deep/f"]


def test_results_are_no_photos(scans, tmp_path):
    (tmp_path / "link").symlink_to(scans / "ou")
    for out in (scans / "ou", tmp_path / "link"):
        items, _ = found([scans], out, recursive=True)
        assert "ou/h" not in [stem for _, stem in items]
        assert found([scans / "ou" / "h.jpg"], out)[0] == [(str(scans / "ou/h.jpg"), "h")]
    with pytest.raises(OptionError, match="-o records"):
        found([scans], scans / "sub" / "..")


def test_what_is_named_is_always_taken(scans, tmp_path):
    paths = [scans / "c.txt", tmp_path / "nowhere.jpg", scans / ".d.jpg", "x" * 5000, "a\0b"]
    items, others = found(paths, tmp_path)
    assert [name for name, _ in items] == list(map(str, paths))
    assert not others
    ((item,), _) = find_items([EncodedPhoto(b"?", "stdin")], tmp_path)
    assert (item.name, item.stem) == ("stdin", "stdin")


def test_nothing_found(scans, tmp_path):
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "notes.txt").touch()
    with pytest.raises(PhotoNotFoundError, match=r"got 1 other files in .*only.*--recursive"):
        found([tmp_path / "only"], tmp_path / "out")


def test_a_folder_that_cannot_be_read_is_named(scans, tmp_path, monkeypatch):
    def walk(_folder, onerror):
        onerror(PermissionError(13, "Permission denied", str(scans / "sub")))
        yield str(scans), [], ["a.PNG"]

    monkeypatch.setattr("os.walk", walk)
    assert found([scans], tmp_path / "out", recursive=True)[1] == [f"{scans}/sub (permission denied)"]


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"(.*)_\d\.jpg", ["x/p1_1 x/p1_2", "x/p2_1", "y/p1_1", "z"]),
        (r"p\d", ["x/p1_1 x/p1_2 y/p1_1", "x/p2_1", "z"]),
        (r"(?:^|/)(q)?", ["x/p1_1", "x/p1_2", "x/p2_1", "y/p1_1", "z"]),
        (r"", ["x/p1_1 x/p1_2 x/p2_1 y/p1_1 z"]),
    ],
)
def test_photos_are_grouped_by_what_the_pattern_matches(pattern, groups):
    stems = ("x/p1_1", "x/p1_2", "x/p2_1", "y/p1_1", "z")
    items = [ArchiveItem((f"{stem}.jpg",), stem) for stem in stems]
    merged = merge_items_by(items, pattern)
    assert [" ".join(str(photo).removesuffix(".jpg") for photo in item.photos) for item in merged] == groups
    assert [item.stem for item in merged] == [group.split()[0] for group in groups]


def test_all_photos_of_one_page():
    item = merge_items([ArchiveItem(("b.jpg",), "b"), ArchiveItem(("a.jpg",), "a")])
    assert item == ArchiveItem(("b.jpg", "a.jpg"), "b")


def test_no_pattern():
    with pytest.raises(OptionError, match="regular expression"):
        merge_items_by([], "(")
