"""The server with true worker processes: crashes, hangs, and the true digitizer."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from ecg_trt.config import RuntimeOptions
from ecg_trt.processes import ProcessPool
from ecg_trt.server.app import create_app
from ecg_trt.server.jobs import open_worker
from ecg_trt.server.record_store import RecordStore
from ecg_trt.server.settings import ServerOptions
from tests.server.conftest import ADDRESS
from tests.server.fake_worker import CRASH, GOOD, PAUSE, open_mortal_worker
from tests.server.running import PHOTO


def test_a_process_that_dies_or_hangs_costs_its_page_alone() -> None:
    files = [("files", (f"{k}.jpg", content)) for k, content in enumerate((GOOD, CRASH, PAUSE, GOOD))]
    with (
        RecordStore(10, 60.0) as store,
        ProcessPool(open_mortal_worker, 1, timeout_s=2.0) as pool,
        TestClient(create_app(ServerOptions(), pool, store), base_url=ADDRESS) as client,
    ):
        records = client.post("/v1/records?wait=60", files=files).json()["records"]
    assert [record["state"] for record in records] == ["done", "failed", "failed", "done"]
    assert [records[k]["error"]["type"] for k in (1, 2)] == ["urn:ecg-trt:worker-crashed", "urn:ecg-trt:worker-timeout"]


@pytest.fixture(scope="module")
def true_client() -> Iterator[TestClient]:
    with (
        RecordStore(10, 60.0) as store,
        ProcessPool(partial(open_worker, RuntimeOptions(threads=1)), 1, timeout_s=120.0) as pool,
        TestClient(create_app(ServerOptions(), pool, store), base_url=ADDRESS) as client,
    ):
        yield client


@pytest.mark.slow
def test_a_photo_is_read_corrected_and_exported(true_client: TestClient) -> None:
    client = true_client
    with PHOTO.open("rb") as file:
        (record,) = client.post("/v1/records?wait=120", files={"files": file}).json()["records"]
    assert (record["state"], record["record"]["layout"]) == ("done", "3x4+1")
    path = f"/v1/records/{record['id']}"
    drawing = client.get(f"{path}/drawing").json()
    assert [len(row["leads"]) for row in drawing["rows"]] == [4, 4, 4, 1]
    assert Image.open(io.BytesIO(client.get(f"{path}/pictures/photo").content)).size == (2600, 1950)
    flat = client.get(f"{path}/pictures/flat").content
    assert record["photo_px"] == [2600, 1950]
    assert drawing["flat"]["width_mm"] > 250
    row = drawing["rows"][1]
    start, end = row["x_mm"][0] + 10, row["x_mm"][0] + 20
    set_by_hand = {
        "gain": 5,
        "names": [{"row": 0, "column": 0, "lead": "V6"}],
        "left_out": [{"row": 1, "x_mm": [start, end]}],
    }
    corrected = client.patch(path, json=set_by_hand).json()
    assert corrected["record"]["gain_mm_per_mv"] == 5
    assert client.get(f"{path}/pictures/flat").content == flat
    curve = client.get(f"{path}/drawing").json()["rows"][1]["curve"]
    heights = np.array([np.nan if y is None else y for y in curve["y_mm"]])
    places = curve["x_mm"] + curve["step_mm"] * np.arange(heights.size)
    assert np.isnan(heights[(places > start + 0.2) & (places < end - 0.2)]).all()
    wrong = client.patch(path, json={"left_out": [{"row": 9, "x_mm": [0, 1]}]})
    assert wrong.status_code == 422
    overlay = client.get(f"{path}/pictures/overlay")
    assert Image.open(io.BytesIO(overlay.content)).width > 1000
    medians = [client.get(f"{path}/analysis").json()["beats"]["median"]["mv"]["II"]]
    undone = client.patch(path, json={}).json()
    medians.append(client.get(f"{path}/analysis").json()["beats"]["median"]["mv"]["II"])
    peaks = [max(mv for mv in median if mv is not None) for median in medians]
    assert peaks[0] == pytest.approx(2 * peaks[1], rel=0.1), "an analysis is that of the record as it is corrected"
    assert Image.open(io.BytesIO(client.get(f"{path}/pictures/activation").content)).width > 1000
    assert undone["record"]["quality"] == record["record"]["quality"]
    export = client.get("/v1/export", params={"id": [record["id"]], "format": ["edf", "csv"]})
    assert zipfile.ZipFile(io.BytesIO(export.content)).namelist() == ["photo.csv", "photo.edf"]


@pytest.mark.slow
def test_corners_move_the_page_and_its_flat_picture(true_client: TestClient) -> None:
    client = true_client
    with PHOTO.open("rb") as file:
        (record,) = client.post("/v1/records?wait=120", files={"files": file}).json()["records"]
    path = f"/v1/records/{record['id']}"
    flat, drawing = client.get(f"{path}/pictures/flat").content, client.get(f"{path}/drawing").json()
    client.patch(path, json={"layout": "6x2"})
    named = client.get(f"{path}/drawing").json()
    assert {len(row["leads"]) for row in named["rows"]} == {2} and named["frame"] == drawing["frame"]
    assert client.get(f"{path}/pictures/flat").content == flat
    corners = [[x + 6, y + 9] for x, y in drawing["corners"]]
    moved = client.patch(path, json={"corners": corners}).json()
    assert moved["record"]["layout"] == "3x4+1"
    assert client.get(f"{path}/pictures/flat").content != flat
    drawn = client.get(f"{path}/drawing").json()
    assert drawn["corners"] == pytest.approx(np.array(corners), abs=0.1) and drawn["frame"] != drawing["frame"]
    client.patch(path, json={})
    assert client.get(f"{path}/pictures/flat").content == flat


@pytest.mark.slow
def test_bad_files_are_named_as_what_they_are(true_client: TestClient) -> None:
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (500, 700, 3), np.uint8)).save(noise, "PNG")
    photo = PHOTO.read_bytes()
    files = [("files", (name, content)) for name, content in (
        ("empty.jpg", b""), ("text.txt", b"hello"), ("cut.jpg", photo[:5000]), ("noise.png", noise.getvalue()),
    )]  # fmt: skip
    records = true_client.post("/v1/records?wait=120", files=files).json()["records"]
    assert [record["state"] for record in records] == ["failed"] * 4
    kinds = [record["error"]["type"].rpartition(":")[2] for record in records]
    assert kinds[:3] == ["unknown-format", "unknown-format", "truncated-image"]
    assert [record["error"]["status"] for record in records] == [415, 415, 422, 422]
    assert true_client.get(f"/v1/records/{records[3]['id']}/pictures/photo").status_code == 200
    assert true_client.patch(f"/v1/records/{records[0]['id']}", json={}).status_code == 409
