"""Archives through the command, with a digitizer that needs no networks: folders, resume, processes, groups."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ecg_trt.archive.archive import Archive, jobs_of
from ecg_trt.archive.inputs import ArchiveItem, find_items
from ecg_trt.archive.worker import ArchiveOptions
from ecg_trt.cli import main
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.errors import NoEcgFoundError
from ecg_trt.results import PageStatus, read_results
from tests.fake_workers import FakePageWorker

TABLES = ["results.csv", "results.parquet"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def run(fake_digitizer, out):
    def call(*arguments: object):
        return CliRunner().invoke(main, ["run", *map(str, arguments), "-o", str(out)])

    return call


@pytest.fixture
def draw(tmp_path, tools):
    """Make photos, each of other content, in a folder; blank ones hold no ECG."""
    image = iter(range(1000))

    def call(*names):
        for name in names:
            path = tmp_path / "scans" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            number = next(image)
            blank = np.full((500, 700, 3), 100 + number, np.uint8)
            path.write_bytes(tools.encode(blank if "blank" in name else tools.picture(seed=number)))
        return tmp_path / "scans"

    return call


@pytest.fixture
def reads(fake_digitizer, monkeypatch):
    """Names of the photos that are digitized."""
    names: list[str] = []
    honest = fake_digitizer.read

    def read(self, source, options=None, corrections=None):
        names.append(Path(source.source).name)
        return honest(self, source, options, corrections)

    monkeypatch.setattr(fake_digitizer, "read", read)
    return names


@pytest.fixture
def processes(monkeypatch):
    monkeypatch.setattr("ecg_trt.archive.archive.PageWorker", FakePageWorker)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def by_stem(folder):
    return {result.stem: result for result in read_results(folder)}


def test_a_folder_keeps_its_structure(run, draw, out):
    folder = draw("b.png", "sub/a.png", "sub/deep/a.png")
    (folder / "notes.txt").touch()
    result = run(folder, "--recursive")
    assert result.exit_code == 0, result.output
    stems = ["b", "sub/a", "sub/deep/a"]
    assert files(out) == sorted([*TABLES, *(f"{stem}.{kind}" for stem in stems for kind in ("csv", "json"))])
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == [f"{folder}/{stem}.png" for stem in stems]
    assert f"1 other file left out: {folder}/notes.txt" in result.stderr
    results = read_results(out)
    assert [(r.file, r.page, r.status, r.stem) for r in results] == [
        (f"{folder}/{stem}.png", 1, PageStatus.OK, stem) for stem in stems
    ]
    first = results[0]
    assert (first.layout, first.speed_mm_per_s, first.assumed) == ("3x4+1", 25, ("gain",))
    assert (first.gain_mm_per_mv, first.chest_gain_mm_per_mv) == (10, 10)
    assert first.warnings == ("leads-missing", "gain-assumed") and first.quality == pytest.approx(0.7, abs=0.03)
    assert first.seconds > 0 and len(first.sha256) == 64 and first.options


def test_a_folder_without_photos(run, draw, out):
    (draw("sub/a.png") / "notes.txt").touch()
    result = run(draw("sub/b.png"))
    assert result.exit_code == 2
    assert "error: There is nothing to digitize" in result.stderr and "--recursive" in result.stderr


def test_the_folder_of_the_photos_is_not_that_of_the_results(run, draw, out, monkeypatch):
    monkeypatch.chdir(draw("a.png"))
    result = CliRunner().invoke(main, ["run", "."])
    assert result.exit_code == 2 and "-o records" in result.stderr


def test_failures_are_in_the_table_and_reported_as_they_come(run, draw, out):
    folder = draw("a.png", "blank.png", "c.png")
    (folder / "d.jpg").write_bytes(b"\xff\xd8\xff")
    result = run(folder)
    assert result.exit_code == 1
    assert f"{folder}/blank.png: NoEcgFoundError: No ECG: got a uniform picture" in result.stderr
    assert "2 of 4 photos failed: 1 NoEcgFoundError, 1 TruncatedImageError." in result.stderr
    failed = by_stem(out)["blank"]
    assert (failed.status, failed.error, failed.layout, failed.quality) == ("failed", "NoEcgFoundError", "", None)
    assert failed.message.startswith("No ECG: got a uniform picture; expected ECG paper.")


def test_a_table_is_not_begun_twice(run, draw, out, reads):
    folder = draw("a.png", "b.png")
    run(folder)
    result = run(folder)
    assert result.exit_code == 2 and "--resume" in result.stderr
    assert reads == ["a.png", "b.png"]


def test_what_is_done_is_known(run, draw, out, reads):
    folder = draw("a.png", "blank.png")
    assert run(folder).exit_code == 1
    before = read_results(out)
    draw("c.png")
    reads.clear()
    result = run(folder, "--resume")
    assert result.exit_code == 1
    assert reads == ["c.png"]
    assert "2 of 3 pages were known" in result.stderr and "1 of 3 photos failed: 1 NoEcgFoundError." in result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert read_results(out)[:2] == before and list(by_stem(out)) == ["a", "blank", "c"]
    reads.clear()
    assert run(folder, "--resume").exit_code == 1 and not reads


def test_only_bad_pages_stay_failed(run, draw, out, reads):
    """A damaged file may have been copied anew, a package installed; that a page is none does not change."""
    folder = draw("a.png", "blank.png")
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    run(folder)
    lines = (out / "results.csv").read_text()
    (out / "results.csv").write_text(lines.replace("NoEcgFoundError", "WorkerCrashedError"))
    reads.clear()
    result = run(folder, "--resume")
    assert reads == ["blank.png"] and "damaged.jpg: TruncatedImageError" in result.stderr
    assert {stem: r.error for stem, r in by_stem(out).items()} == {
        "a": "", "blank": "NoEcgFoundError", "damaged": "TruncatedImageError"}  # fmt: skip


def test_a_moved_file_keeps_its_stem(run, draw, out, reads):
    folder = draw("a.png", "b.png")
    run(folder)
    (folder / "sub").mkdir()
    (folder / "a.png").rename(folder / "sub" / "z.png")
    reads.clear()
    assert run(folder, "--recursive", "--resume").exit_code == 0
    assert not reads
    assert {stem: r.file for stem, r in by_stem(out).items()} == {"a": f"{folder}/sub/z.png", "b": f"{folder}/b.png"}
    draw("a.png")
    assert run(folder, "--recursive", "--resume").exit_code == 0
    assert reads == ["a.png"] and list(by_stem(out)) == ["a", "b", "a-2"]


def test_a_copy_is_a_file_of_its_own(run, draw, out, reads):
    folder = draw("a.png")
    run(folder)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    assert run(folder, "--resume").exit_code == 0
    assert list(by_stem(out)) == ["a", "b"]


def test_a_file_of_new_content_is_read_again_under_its_stem(run, draw, out, reads):
    folder = draw("a.png", "b.png")
    run(folder)
    (folder / "a.png").rename(folder / "c.png")
    draw("a.png")
    reads.clear()
    assert run(folder, "--resume").exit_code == 0
    assert reads == ["a.png", "c.png"]
    assert {stem: Path(r.file).stem for stem, r in by_stem(out).items()} == {stem: stem for stem in "abc"}


@pytest.mark.parametrize(
    "options",
    [["--fs", 250], ["--layout", "6x2"], ["--format", "npz", "--array", "12x100@100"], ["--overlay"], ["--views", 2]],
)
def test_other_options_read_again(run, draw, out, reads, options):
    folder = draw("a.png")
    run(folder)
    first = read_results(out)
    reads.clear()
    assert run(folder, "--resume", *options).exit_code == 0
    assert reads == ["a.png"]
    (again,) = read_results(out)
    assert again.stem == "a" and again.options != first[0].options
    reads.clear()
    assert run(folder, "--resume", *options, "--backend", "ort").exit_code == 0 and not reads


def test_other_networks_and_versions_read_again(monkeypatch):
    options = ArchiveOptions({"csv": {}})
    digests = {options.digest()}
    monkeypatch.setattr("ecg_trt.archive.worker.list_weights", lambda: {"stage0": "ab"})
    digests.add(options.digest())
    monkeypatch.setattr("ecg_trt.archive.worker.__version__", "99")
    digests.add(options.digest())
    digests.add(replace(options, read=ReadOptions(limb_blend=False)).digest())
    assert len(digests) == 4
    assert replace(options, runtime=RuntimeOptions("ort", threads=3)).digest() in digests


def test_lost_files_are_written_again(run, draw, out, reads):
    folder = draw("a.png", "b.png")
    run(folder)
    (out / "b.json").unlink()
    (out / ".ecg-trt-abc").mkdir()
    reads.clear()
    assert run(folder, "--resume").exit_code == 0
    assert reads == ["b.png"] and (out / "b.json").exists() and not (out / ".ecg-trt-abc").exists()


def test_a_single_photo_may_be_resumed(run, draw, out, reads):
    photo = draw("blank.png") / "blank.png"
    assert run(photo).exit_code == 2 and files(out) == []
    assert run(photo, "--resume").exit_code == 2 and files(out) == TABLES
    reads.clear()
    result = run(photo, "--resume")
    assert result.exit_code == 2 and not reads
    assert "1 of 1 pages were known" in result.stderr and "1 of 1 photos failed: 1 NoEcgFoundError" in result.stderr


def test_a_photo_called_results_does_not_meet_the_table(run, draw, out):
    assert run(draw("results.png", "a.png")).exit_code == 0
    assert {"results.csv", "results-2.csv"} < set(files(out))
    assert list(by_stem(out)) == ["a", "results-2"]


def tiff(tools, kinds):
    """A file of several pages, blank where a kind is 0."""
    from io import BytesIO

    from PIL import Image

    pages = [
        Image.fromarray(tools.picture(seed=kind) if kind else np.full((500, 700, 3), 90, np.uint8)) for kind in kinds
    ]
    buffer = BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def test_pages_that_a_killed_run_left_out_are_read(run, draw, out, reads, tools):
    (draw("a.png") / "scan.tif").write_bytes(tiff(tools, (0, 1, 2, 0, 3)))
    folder = draw("b.png")
    assert run(folder).exit_code == 0
    path = out / "results.csv"
    lines = path.read_text().splitlines(keepends=True)
    assert [by_stem(out)[f"scan.p{page}"].status for page in range(1, 6)] == ["skipped", "ok", "ok", "skipped", "ok"]
    kept = [line for line in lines if "scan.p1" not in line and "scan.p5" not in line]
    path.write_text("".join(kept)[:-1])
    reads.clear()
    result = run(folder, "--resume")
    assert result.exit_code == 0, result.output
    assert reads == ["scan.tif (page 1)", "scan.tif (page 4)", "scan.tif (page 5)"]
    assert {stem: r.status.value for stem, r in by_stem(out).items()} == {
        "a": "ok", "b": "ok", "scan.p1": "skipped", "scan.p2": "ok", "scan.p3": "ok", "scan.p4": "skipped",
        "scan.p5": "ok"}  # fmt: skip


def test_a_page_without_an_ecg_that_is_known_goes_by_what_its_file_shows_now(run, draw, out, reads, tools):
    folder = draw("a.png")
    (folder / "scan.tif").write_bytes(tiff(tools, (0, 1)))
    assert run(folder).exit_code == 0
    path = out / "results.csv"
    lines = path.read_text().replace("skipped,NoEcg", "failed,NoEcg").replace("2,ok,,", "2,failed,WorkerCrashedError,")
    path.write_text(lines)
    reads.clear()
    assert run(folder, "--resume").exit_code == 0
    assert reads == ["scan.tif (page 2)"]
    assert [by_stem(out)[f"scan.p{page}"].status for page in (1, 2)] == ["skipped", "ok"]


def test_a_file_all_of_whose_pages_fail(run, draw, out, tools):
    path = draw() / "scan.tif"
    path.parent.mkdir()
    path.write_bytes(tiff(tools, (0, 0)))
    result = run(path)
    assert result.exit_code == 2
    assert "2 of 2 pages failed: 2 NoEcgFoundError." in result.stderr and files(out) == []


def test_photos_of_one_page_are_merged_by_their_names(run, draw, out, reads):
    folder = draw("p1_a.png", "p1_b.png", "p2_a.png", "sub/p1_a.png", "other.png")
    result = run(folder, "-r", "--merge-by", r"(.*p\d)_")
    assert result.exit_code == 0, result.output
    stems = ["other", "p1_a", "p2_a", "sub/p1_a"]
    assert files(out) == sorted([*TABLES, *(f"{stem}.{kind}" for stem in stems for kind in ("csv", "json"))])
    photos = json.loads((out / "p1_a.json").read_text("utf-8"))["photos"]
    assert [photo["source"] for photo in photos] == ["p1_a.png", "p1_b.png"]
    reads.clear()
    draw("p2_b.png", "sub/p1_a.png")
    assert run(folder, "-r", "--merge-by", r"(.*p\d)_", "--resume").exit_code == 0
    assert sorted(reads) == ["p1_a.png", "p2_a.png", "p2_b.png"]
    assert list(by_stem(out)) == stems


@pytest.mark.parametrize("wrong", [["--merge"], ["--overlay"]])
def test_merging_has_its_limits(run, draw, wrong):
    assert run(draw("a.png"), "--merge-by", "x", *wrong).exit_code == 2


def test_merge_by_needs_a_regular_expression(run, draw):
    result = run(draw("a.png"), "--merge-by", "(")
    assert result.exit_code == 2 and "error: The pattern cannot be used" in result.stderr


def test_processes_do_the_same(run, draw, out, processes, tools):
    folder = draw("a.png", "blank.png", "sub/c.png", "slow.png", *(f"{k}.png" for k in range(8)))
    (folder / "scan.tif").write_bytes(tiff(tools, (0, 1, 2)))
    result = run(folder, "-r", "--jobs", 2, "--overlay")
    assert result.exit_code == 1, result.output
    assert len(result.stdout.splitlines()) == 13
    assert f"{folder}/blank.png: NoEcgFoundError" in result.stderr and "1 of 15 pages failed" in result.stderr
    together = {stem: replace(r, seconds=0) for stem, r in by_stem(out).items()}
    written = {name: (out / name).read_bytes() for name in files(out) if name.endswith((".csv", ".png"))}
    for path in out.rglob("*"):
        path.is_file() and path.unlink()
    alone = run(folder, "-r", "--overlay")
    assert alone.exit_code == 1
    assert {stem: replace(r, seconds=0) for stem, r in by_stem(out).items()} == together
    del written["results.csv"]
    assert all((out / name).read_bytes() == content for name, content in written.items())
    assert sorted(line.split("  ")[0] for line in alone.stdout.splitlines()) == sorted(
        line.split("  ")[0] for line in result.stdout.splitlines()
    )


def test_a_crash_costs_one_page_and_is_tried_again(run, draw, out, processes):
    folder = draw("a.png", "crash.png", *(f"{k}.png" for k in range(6)))
    result = run(folder, "--jobs", 2)
    assert result.exit_code == 1, result.output
    assert "crash.png: WorkerCrashedError: A worker process died" in result.stderr and "SIGKILL" in result.stderr
    assert {stem for stem, r in by_stem(out).items() if r.status == "ok"} == {"a", *map(str, range(6))}
    again = run(folder, "--resume", "--jobs", 2)
    assert "7 of 8 pages were known" in again.stderr and "WorkerCrashedError" in again.stderr
    last = run(folder, "--resume")
    assert last.exit_code == 0 and by_stem(out)["crash"].status == "ok"


def test_standard_input_reaches_a_process(out, fake_digitizer, processes, photo_path):
    arguments = ["run", "-", str(photo_path), "-o", str(out), "--jobs", "2"]
    result = CliRunner().invoke(main, arguments, input=photo_path.read_bytes())
    assert result.exit_code == 0, result.output
    assert set(by_stem(out)) == {"photo", "stdin"}


def test_bugs_show_their_traceback_from_a_process(run, draw, processes, tools):
    folder = draw("a.png")
    (folder / "bug.png").write_bytes(tools.encode(np.full((500, 700, 3), 13, np.uint8)))
    result = run(folder, "--jobs", 2, "-v")
    assert result.exit_code == 1
    assert "Internal error: got ZeroDivisionError: a bug" in result.stderr and "Traceback" in result.stderr


def test_pages_of_photos_that_are_merged_are_not_counted(draw, monkeypatch):
    monkeypatch.setattr("ecg_trt.archive.archive.pages_of", None)
    folder = draw("a.png", "b.png")
    (job,) = jobs_of(0, ArchiveItem((folder / "a.png", folder / "b.png"), "a"))
    assert (job.page, job.stem) == (None, "a") and len(job.photos) == 2


def test_others_call_it_without_a_command_line(fake_digitizer, draw, out):
    items, _ = find_items([str(draw("a.png", "blank.png"))], out)
    with Archive(out, ArchiveOptions({"json": {}})) as archive:
        first, second = archive.digitize(items)
    assert first.paths == (out / "a.json",) and first.is_last and first.error is None
    assert isinstance(second.error, NoEcgFoundError)
    assert read_results(out) == [first.result, second.result]
