"""Life of records over REST: states, pages, corrections, files, ends."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ecg_trt.config import ReadOptions
from ecg_trt.errors import NO_DIAGNOSIS, NOTICE
from ecg_trt.io.writers import WRITERS
from ecg_trt.server import service
from ecg_trt.server.jobs import AnalyzeJob
from ecg_trt.server.record_store import RecordStore, StoredRecord
from tests.server.conftest import FakePool
from tests.server.fake_worker import BUG, CRASH, GOOD, NO_ECG, THREE_PAGES
from tests.server.running import until

NONE_SET: dict[str, Any] = {
    **dict.fromkeys(("corners", "quarter_turns", "mirrored", "layout", "speed", "gain", "chest_gain")),
    **{name: [] for name in ("names", "zero_lines", "left_out", "redrawn")},
    "rotation_deg": 0.0,
}


def upload(client: TestClient, *contents: bytes, wait: float = 10, name: str = "photo.jpg", **options: str) -> Any:
    files = [("files", (name, content)) for content in contents]
    answer = client.post("/v1/records", params={"wait": wait}, files=files, data=options)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["records"]


def folder_of(client: TestClient) -> Path:
    return client.app.state.service.store.folder  # type: ignore[attr-defined]


def test_an_upload_is_read_and_described(client: TestClient) -> None:
    answer = client.post("/v1/records?wait=10", files={"files": ("Müller.jpg", GOOD)}, data={"speed": "50"})
    assert answer.status_code == 200
    assert answer.json()["notice"] == NOTICE
    (record,) = answer.json()["records"]
    assert record["notice"] == NOTICE
    assert (record["state"], record["name"], record["page"]) == ("done", "Müller.jpg", 1)
    assert record["options"]["speed"] == 50
    assert record["record"]["leads"][:2] == ["I", "II"]
    assert record["corrections"] == NONE_SET
    again = client.get(f"/v1/records/{record['id']}").json()
    assert {**again, "expires_s": 0} == {**record, "expires_s": 0}


def test_states_follow_the_work(client: TestClient, pool: FakePool) -> None:
    pool.gate.clear()
    first, second = upload(client, GOOD, GOOD, wait=0)
    states = {record["id"]: record["state"] for record in client.get(
        "/v1/records", params={"id": [first["id"], second["id"]]}).json()["records"]}  # fmt: skip
    assert states == {first["id"]: "reading", second["id"]: "waiting"}
    late = client.get(f"/v1/records/{second['id']}?wait=0.1").json()
    assert late["state"] == "waiting"
    assert client.patch(f"/v1/records/{first['id']}", json={}).status_code == 409
    pool.gate.set()
    assert client.get(f"/v1/records/{second['id']}?wait=10").json()["state"] == "done"


def test_a_page_that_cannot_be_read_has_a_reason(client: TestClient) -> None:
    good, bad = upload(client, GOOD, NO_ECG)
    assert good["state"] == "done"
    assert bad["state"] == "failed"
    error = bad["error"]
    assert error["type"] == "urn:ecg-trt:no-ecg-found"
    assert (error["got"], error["expected"], error["hint"]) == ("a cat", "ECG paper", "Show the page.")
    assert error["status"] == 422
    assert client.get(f"/v1/records/{bad['id']}?format=csv").status_code == 409


@pytest.mark.parametrize("content", [CRASH, BUG])
def test_a_crash_costs_its_page_alone(client: TestClient, content: bytes) -> None:
    crashed, good = upload(client, content, GOOD)
    assert (crashed["state"], good["state"]) == ("failed", "done")
    assert str(folder_of(client)) not in json.dumps(crashed)


def test_every_page_of_a_file_is_a_record(client: TestClient) -> None:
    records = upload(client, THREE_PAGES)
    assert [record["page"] for record in records] == [1, 2, 3]
    assert all(record["pages"] == [r["id"] for r in records] for record in records)
    export = client.get("/v1/export", params={"id": records[0]["pages"], "format": "csv"})
    assert zipfile.ZipFile(io.BytesIO(export.content)).namelist() == [f"photo_p{k}.csv" for k in (1, 2, 3)]


def test_an_upload_that_the_disk_has_no_room_for_leaves_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = client.app.state.service.store  # type: ignore[attr-defined]
    free, add = iter([True, False]), store.add

    def add_while_free(*given: Any) -> StoredRecord:
        if not next(free):
            raise OSError(28, "No space left on device")
        return add(*given)

    monkeypatch.setattr(store, "add", add_while_free)
    answer = client.post("/v1/records", files=[("files", ("photo.jpg", GOOD))] * 2)
    assert answer.json()["type"] == "urn:ecg-trt:output"
    assert len(store) == 0


def test_an_upload_that_is_broken_off_leaves_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    copies, may_end = threading.Event(), threading.Event()

    def copy(*_: object) -> None:
        copies.set()
        may_end.wait(10)

    monkeypatch.setattr(service, "_copy", copy)
    own, portal = client.app.state.service, client.portal  # type: ignore[attr-defined]
    assert portal is not None
    uploading = portal.start_task_soon(own.add, [("photo.jpg", io.BytesIO(GOOD))], ReadOptions())
    assert copies.wait(10) and len(own.store) == 1
    uploading.cancel()
    may_end.set()
    until(lambda: not len(own.store), 10)


def test_pages_beyond_the_limit_are_counted_but_not_read(serve: Callable[..., TestClient]) -> None:
    records = upload(serve(max_pages=2), THREE_PAGES)
    assert len(records) == 2
    assert records[0]["pages_in_file"] == 3


def test_corrections_are_all_given_each_time(client: TestClient) -> None:
    (record,) = upload(client, GOOD)
    path = f"/v1/records/{record['id']}"
    corrected = client.patch(path, json={"gain": 5, "names": [{"row": 0, "column": 0, "lead": "D2"}]}).json()
    assert corrected["record"]["gain_mm_per_mv"] == 5
    assert corrected["corrections"]["names"] == [{"row": 0, "column": 0, "lead": "II"}]
    assert corrected["revision"] > record["revision"]
    undone = client.patch(path, json={}).json()
    assert undone["corrections"] == NONE_SET
    assert undone["record"]["gain_mm_per_mv"] == 10


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"gain": 7}', b'{"colour": "red"}', b'{"gain": 40}'])
def test_a_record_stays_as_it_was_if_a_correction_cannot_be_used(client: TestClient, body: bytes) -> None:
    (record,) = upload(client, GOOD)
    path = f"/v1/records/{record['id']}"
    answer = client.patch(path, content=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]
    assert client.get(path).json()["revision"] == record["revision"]


def test_a_page_that_was_not_found_is_read_by_its_corners(client: TestClient) -> None:
    (record,) = upload(client, NO_ECG)
    corners = [[0, 0], [100, 0], [100, 80], [0, 80]]
    corrected = client.patch(f"/v1/records/{record['id']}", json={"corners": corners}).json()
    assert (corrected["state"], corrected["error"]) == ("done", None)


def test_reading_again_takes_other_options_and_drops_corrections(client: TestClient) -> None:
    (record,) = upload(client, GOOD, layout="3x4")
    path = f"/v1/records/{record['id']}"
    client.patch(path, json={"gain": 5})
    again = client.post(f"{path}/read?wait=10", json={"options": {"min_px_per_mm": 1.5}}).json()
    assert (again["state"], again["options"]["min_px_per_mm"], again["options"]["layout"]) == ("done", 1.5, "3x4")
    assert again["corrections"] == NONE_SET
    assert client.post(f"{path}/read", json={"options": {"colour": 1}}).status_code == 422


def test_corrections_go_before_uploads(client: TestClient, pool: FakePool) -> None:
    (record,) = upload(client, GOOD)
    pool.gate.clear()
    upload(client, GOOD, GOOD, GOOD, wait=0)
    again = client.post(f"/v1/records/{record['id']}/read", json={}).json()
    assert again["state"] == "waiting"
    pool.gate.set()
    client.get(f"/v1/records/{record['id']}?wait=10")
    order = [job.folder.name for job in pool.jobs if hasattr(job, "folder")]
    assert order.index(record["id"], 1) == 2  # After the one that was in hand, before the two that waited.


@pytest.mark.parametrize("name", WRITERS)
def test_a_record_is_written_in_every_format(client: TestClient, name: str) -> None:
    (record,) = upload(client, GOOD)
    answer = client.get(f"/v1/records/{record['id']}", params={"format": name})
    assert answer.status_code == 200
    suffix = ".zip" if name == "wfdb" else WRITERS[name].suffixes[0]
    assert answer.headers["content-disposition"] == f'attachment; filename="photo{suffix}"'
    assert answer.content


def test_an_export_takes_options_and_numbers_equal_names(client: TestClient) -> None:
    records = upload(client, GOOD, GOOD)
    ids = [record["id"] for record in records]
    query = {"id": ids, "format": ["csv", "npy"], "array": "12x50@50", "missing": "zero"}
    answer = client.get("/v1/export", params=query)
    assert answer.headers["content-type"] == "application/zip"
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert sorted(names) == ["photo-2.csv", "photo-2.npy", "photo.csv", "photo.npy"]
    for wrong in ({"format": "xml"}, {"format": "csv", "array": "12x50@50"}, {"format": "npy", "array": "many"}):
        assert client.get("/v1/export", params={"id": ids, **wrong}).status_code == 422


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a\\..\\b.jpg", "..", "", "x" * 300, "Ä b.jpg", "con\x00.jpg"]
)
def test_names_never_become_paths(client: TestClient, name: str) -> None:
    before = set(Path(folder_of(client)).parent.iterdir())
    (record,) = upload(client, GOOD, name=name or "empty")
    files = [path.name for path in folder_of(client).rglob("*")]
    assert all(name not in file for file in files if len(name) > 2)
    assert set(Path(folder_of(client)).parent.iterdir()) == before
    answer = client.get(f"/v1/records/{record['id']}?format=csv")
    file_name = answer.headers["content-disposition"].split('"')[1]
    assert file_name.removesuffix(".csv").replace("_", "").replace("-", "").isalnum()
    assert len(file_name) < 80


def test_pictures_drawing_and_upload_are_given_out(client: TestClient) -> None:
    (record,) = upload(client, GOOD)
    path = f"/v1/records/{record['id']}"
    assert client.get(f"{path}/pictures/photo").content == b"photo"
    assert client.get(f"{path}/pictures/flat").headers["content-type"] == "image/jpeg"
    assert client.get(f"{path}/pictures/overlay").headers["content-type"] == "image/png"
    assert client.get(f"{path}/pictures/../upload").status_code in (200, 404, 422)
    assert client.get(f"{path}/pictures/mask").status_code == 422
    assert client.get(f"{path}/drawing").json() == {"rows": []}
    assert client.get(f"{path}/upload").content == GOOD


def test_a_record_is_analyzed_once_and_when_it_is_asked_for(client: TestClient, pool: FakePool) -> None:
    good, bad = upload(client, GOOD, NO_ECG)
    path = f"/v1/records/{good['id']}"
    assert not [job for job in pool.jobs if isinstance(job, AnalyzeJob)]
    found = client.get(f"{path}/analysis").json()
    assert found["notice"] == NO_DIAGNOSIS and found["beats"]["r_s"] == []
    assert {omission["name"] for omission in found["omissions"]} == {"heart_rate", "rr_cv", "rmssd"}
    assert client.get(f"{path}/pictures/analysis").headers["content-type"] == "image/png"
    assert client.get(f"{path}/pictures/activation").status_code == 404, "this analysis has no map"
    assert len([job for job in pool.jobs if isinstance(job, AnalyzeJob)]) == 1
    assert client.get(f"/v1/records/{bad['id']}/analysis").status_code == 409


def test_a_deleted_record_is_gone_with_its_files(client: TestClient, pool: FakePool) -> None:
    first, second = upload(client, GOOD, GOOD)
    assert client.delete(f"/v1/records/{first['id']}").status_code == 204
    assert client.get(f"/v1/records/{first['id']}").status_code == 404
    left = [path.name for path in folder_of(client).rglob("*") if path.is_dir()]
    assert first["id"] not in left
    assert second["id"] in left
    pool.gate.clear()
    waiting = upload(client, GOOD, GOOD, wait=0)
    for record in waiting:
        client.delete(f"/v1/records/{record['id']}")
    pool.gate.set()
    assert upload(client, GOOD)[0]["state"] == "done"
    assert client.get("/healthz").json()["records"] == 2


def test_records_expire_and_make_room(serve: Callable[..., TestClient]) -> None:
    client = serve(max_records=2, keep_s=100)
    store = client.app.state.service.store  # type: ignore[attr-defined]
    first, second = upload(client, GOOD, GOOD)
    client.get(f"/v1/records/{first['id']}")
    (third,) = upload(client, GOOD)
    assert client.get(f"/v1/records/{second['id']}").status_code == 404
    store._clock = lambda clock=store._clock: clock() + 101
    store.remove_expired()
    assert client.get("/healthz").json()["records"] == 0
    assert client.get(f"/v1/records/{third['id']}").json()["type"] == "urn:ecg-trt:request"
    assert not list(folder_of(client).iterdir())


def test_all_files_are_gone_at_the_end() -> None:
    with RecordStore(1, 60.0) as store:
        upload = store.add_upload("photo.jpg")
        upload.path.write_bytes(GOOD)
        assert store.folder.stat().st_mode & 0o777 == 0o700
    assert not store.folder.exists()
