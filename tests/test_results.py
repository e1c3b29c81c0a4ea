"""The table of results: written line by line, cut off anywhere, read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ecg_trt import results
from ecg_trt.errors import InputError, OutputError
from ecg_trt.results import PageResult, PageStatus, ResultsTable, read_results, skip_pages_without_ecg

OK = PageResult(
    file="a,b.jpg",
    page=1,
    status=PageStatus.OK,
    layout="3x4+1",
    speed_mm_per_s=25.0,
    gain_mm_per_mv=10.0,
    chest_gain_mm_per_mv=5.0,
    assumed=("speed", "gain"),
    quality=0.8125,
    warnings=("gain-assumed",),
    seconds=1.234,
    stem="sub/a,b",
    sha256="ab" * 32,
    options="cd" * 8,
)
FAILED = PageResult("c.pdf", 2, PageStatus.FAILED, "NoEcgFoundError", 'No "ECG"; got a cat.', stem="c.p2")
RESULTS = [OK, FAILED, replace(FAILED, page=3, stem="c.p3", status=PageStatus.SKIPPED)]


def write(folder, results=RESULTS, **options):
    with ResultsTable(folder, **options) as table:
        for result in results:
            table.append(result)


def test_what_is_written_is_read(tmp_path):
    write(tmp_path)
    assert read_results(tmp_path) == read_results(tmp_path / "results.csv") == RESULTS
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert lines[0].startswith("file,page,status,error,message,layout,speed_mm_per_s,gain_mm_per_mv,")
    assert lines[1].startswith('"a,b.jpg",1,ok,,,3x4+1,25,10,5,speed;gain,0.8125,gain-assumed,1.234,')


def test_a_line_is_in_the_file_at_once(tmp_path):
    with ResultsTable(tmp_path) as table:
        assert read_results(tmp_path) == []
        table.append(OK)
        assert read_results(tmp_path) == [OK]
        assert not (tmp_path / "results.parquet").exists()


@pytest.mark.parametrize("file", ["two\nlines\r\u2028.jpg", "no utf-8 \udcff.jpg", "ä ö.jpg", '"', ""])
def test_any_name_is_one_line(tmp_path, file):
    write(tmp_path, [replace(OK, file=file), FAILED])
    assert len((tmp_path / "results.csv").read_bytes().splitlines()) == 3
    first, second = read_results(tmp_path)
    assert replace(first, file=file) == replace(OK, file=file)
    assert second == FAILED


def test_a_table_that_is_cut_off_anywhere_loses_its_last_line_alone(tmp_path):
    write(tmp_path)
    path = tmp_path / "results.csv"
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert read_results(path) == RESULTS[: sum(end <= cut for end in ends) - 1]
    path.write_bytes(whole[: ends[3] - 5])
    write(tmp_path, [replace(OK, stem="new")], resume=True)
    assert read_results(path) == [OK, FAILED, replace(OK, stem="new")]


def test_the_last_line_of_a_page_counts(tmp_path):
    again = replace(FAILED, status=PageStatus.OK)
    write(tmp_path, [*RESULTS, again])
    assert read_results(tmp_path) == [OK, again, RESULTS[2]]
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 4


def test_an_earlier_table_is_not_overwritten(tmp_path):
    write(tmp_path, [])
    write(tmp_path)
    with pytest.raises(OutputError, match="--resume"):
        ResultsTable(tmp_path)
    with ResultsTable(tmp_path, resume=True) as table:
        assert table.earlier == RESULTS
    assert read_results(tmp_path) == RESULTS


@pytest.mark.parametrize("content", [b"", b"time_s,I\n0,1\n", b"\0\n", b"fi"])
def test_another_table_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no table"):
        ResultsTable(tmp_path, resume=True)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_reported(tmp_path):
    write(tmp_path)
    path = tmp_path / "results.csv"
    path.write_text(path.read_text().replace("c.pdf,2", "c.pdf,two"))
    with pytest.raises(InputError, match="in line 3"):
        read_results(path)
    with pytest.raises(InputError, match="No such file"):
        read_results(tmp_path / "nowhere.csv")


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path)
    rows = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [PageResult(**{**row, "assumed": tuple(row["assumed"]), "warnings": tuple(row["warnings"]),
                          "status": PageStatus(row["status"])}) for row in rows] == RESULTS  # fmt: skip


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setattr("ecg_trt.results.missing_module", lambda modules: modules[0])
    write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk_is_an_error_of_its_kind(tmp_path, monkeypatch):
    honest, full = results._open, Path("/dev/full")
    monkeypatch.setattr(results, "_open", lambda path, mode: honest(full if mode == "a" else path, mode))
    table = ResultsTable(tmp_path)
    for work in (lambda: table.append(OK), table.close):
        with pytest.raises(OutputError, match="no space left on device"):
            work()
    table.close()


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(OutputError):
        ResultsTable(tmp_path / "nowhere")


def test_pages_without_an_ecg_are_skipped_unless_no_page_has_one():
    """FAILED has no ECG; a page that failed otherwise stays failed."""
    crashed = replace(FAILED, error="WorkerCrashedError")
    results = skip_pages_without_ecg([FAILED, OK, crashed])
    assert results == [replace(FAILED, status=PageStatus.SKIPPED), OK, crashed]
    assert skip_pages_without_ecg([results[0], crashed]) == [FAILED, crashed]
