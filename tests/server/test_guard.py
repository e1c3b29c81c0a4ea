"""Who may ask, how often, how much; and the headers of every answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from ecg_trt.errors import OptionError
from ecg_trt.server.guard import RateLimiter
from ecg_trt.server.settings import ServerOptions
from tests.server.conftest import FakePool
from tests.server.fake_worker import GOOD

FILES = {"files": ("photo.jpg", GOOD)}


@pytest.mark.parametrize("path", ["/", "/app.js", "/healthz", "/v1/choices", "/v1/records/none", "/nothing"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == ("no-store" if path.startswith("/v1") else "no-cache")
    assert "access-control-allow-origin" not in headers


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/").text
    for forbidden in ("<style", "style=", "onclick", "http://", "https://", "<script>"):
        assert forbidden not in page
    assert page.count("<script") == 1


def test_only_known_host_names_are_answered(serve: Callable[..., TestClient]) -> None:
    client = serve(names=("ecg.example",))
    for host, status in (
        ("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("ecg.example", 200), ("evil.example", 400),
        ("127.0.0.1.evil.example", 400), ("192.168.0.7", 400), ("[", 400), ("", 400),
    ):  # fmt: skip
        assert client.get("/healthz", headers={"host": host}).status_code == status, host


def test_what_another_site_sends_is_rejected(client: TestClient) -> None:
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
                    {"origin": "http://["}):  # fmt: skip
        answer = client.post("/v1/records", files=FILES, headers=headers)
        assert answer.status_code == 403
    own = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert client.post("/v1/records", files=FILES, headers=own).status_code == 202


def test_a_token_is_needed_if_there_is_one(serve: Callable[..., TestClient]) -> None:
    client = serve(token="secret-word")
    for path in ("/", "/app.js", "/healthz"):
        assert client.get(path).status_code == 200
    for path in ("/v1/choices", "/v1/records/x", "/metrics"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in (b"Bearer secret", b"Basic secret-word", "Bearer sécret-word".encode(), b"Bearer "):
            assert client.get(path, headers={b"authorization": wrong}).status_code == 401
    right = {"authorization": "Bearer secret-word"}
    assert client.get("/v1/choices", headers=right).status_code == 200
    assert client.post("/v1/records", files=FILES).status_code == 401


def test_a_token_is_needed_beyond_this_machine() -> None:
    with pytest.raises(OptionError, match="open to everyone"):
        ServerOptions(host="0.0.0.0")
    options = ServerOptions(host="0.0.0.0", token="word")
    assert options.allows_host("192.168.0.7")
    assert not options.allows_host("evil.example")
    assert ServerOptions(host="::1").is_loopback


@pytest.mark.parametrize("limit", ["port", "max_upload_mb", "waiting", "rate", "timeout_s", "keep_s", "max_records"])
def test_limits_are_positive(limit: str) -> None:
    with pytest.raises(OptionError, match=limit):
        ServerOptions(**{limit: 0})  # type: ignore[arg-type]


def test_large_and_endless_requests_are_rejected(serve: Callable[..., TestClient]) -> None:
    client = serve(max_upload_mb=0.01)
    answer = client.post("/v1/records", files={"files": ("a.jpg", b"x" * 20_000)})
    assert answer.status_code == 413
    assert answer.json()["expected"] == "at most 0.01 MB"
    assert client.post("/v1/records", content=iter([b"x"])).status_code == 411


def test_a_form_must_make_sense(client: TestClient) -> None:
    for data, files in (({}, None), ({"speed": "50"}, None), ({"speed": "51"}, FILES), ({"colour": "red"}, FILES),
                        ({"limb_blend": "maybe"}, FILES), ({"min_pixels": "-1"}, FILES)):  # fmt: skip
        answer = client.post("/v1/records", data=data, files=files)
        assert answer.status_code == 422, data
        assert answer.json()["hint"]
    assert client.get("/healthz").json()["records"] == 0


def test_a_client_cannot_raise_the_limit_of_pixels(serve: Callable[..., TestClient]) -> None:
    client = serve(max_pixels=1_000_000)
    answer = client.post("/v1/records?wait=5", files=FILES, data={"max_pixels": "40000000", "limb_blend": "false"})
    options = answer.json()["records"][0]["options"]
    assert (options["max_pixels"], options["limb_blend"]) == (1_000_000, False)


def test_a_full_queue_asks_to_come_back(serve: Callable[..., TestClient], pool: FakePool) -> None:
    client = serve(waiting=2)
    pool.gate.clear()
    for _ in range(3):
        assert client.post("/v1/records", files=FILES).status_code == 202
    answer = client.post("/v1/records", files=FILES)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert client.get("/healthz").json()["records"] == 3


def test_a_store_full_of_unread_records_asks_to_come_back(serve: Callable[..., TestClient], pool: FakePool) -> None:
    client = serve(max_records=2)
    pool.gate.clear()
    assert client.post("/v1/records", files=[("files", ("a.jpg", GOOD))] * 2).status_code == 202
    assert client.post("/v1/records", files=FILES).status_code == 503


def test_too_many_requests_are_answered_with_a_time_to_wait(serve: Callable[..., TestClient]) -> None:
    client = serve(rate=4)
    statuses = [client.post("/v1/records", files=FILES).status_code for _ in range(4)]
    assert statuses == [202, 202, 429, 429]
    answer = client.post("/v1/records", files=FILES)
    assert 1 <= int(answer.headers["retry-after"]) <= 16
    assert client.get("/healthz").status_code == 200


def test_a_bucket_fills_up_again_for_each_client() -> None:
    now = 0.0
    limiter = RateLimiter(60, lambda: now)
    assert [limiter.wait_s("a") for _ in range(31)][-2:] == [0, 1]
    assert limiter.wait_s("b") == 0
    now = 1.5
    assert limiter.wait_s("a") == 0
    assert limiter.wait_s("a") == pytest.approx(0.5)


def test_errors_are_problems_that_explain_themselves(client: TestClient) -> None:
    for answer in (client.get("/v1/records/none"), client.get("/v1/records/x?wait=-1"), client.put("/v1/records"),
                   client.get("/v1/export")):  # fmt: skip
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert all(problem[key] for key in ("type", "title", "detail", "what", "got", "expected", "hint", "notice"))


def test_metrics_count(client: TestClient) -> None:
    client.post("/v1/records?wait=5", files=FILES)
    text = client.get("/metrics").text
    assert 'ecg_trt_pages_total{state="done"} 1.0' in text
    assert 'ecg_trt_requests_total{method="POST",status="200"} 1.0' in text
    assert "ecg_trt_jobs_waiting 0.0" in text
    assert "process_resident_memory_bytes" in text


def test_openapi_shows_examples(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["info"]["description"].endswith("not a medical device.")
    form = document["paths"]["/v1/records"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"files", "layout", "speed", "gain", "fs"} <= set(form["properties"])
    patch = document["paths"]["/v1/records/{identifier}"]["patch"]["requestBody"]["content"]["application/json"]
    assert patch["example"]["gain"] == 5
    assert document["components"]["schemas"]["Problem"]["examples"]


def test_an_error_that_nobody_foresaw_is_a_problem_too(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: object, identifier: str) -> None:
        raise ZeroDivisionError("a secret path")

    monkeypatch.setattr("ecg_trt.server.record_store.RecordStore.get", broken)
    answer = client.get("/v1/records/x")
    assert answer.status_code == 500
    assert answer.json()["got"] == "ZeroDivisionError"
    assert "secret" not in answer.text
    assert "secret" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"
