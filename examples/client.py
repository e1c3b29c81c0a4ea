"""Read photos with a server of `ecg-trt serve`, and keep the leads: `python examples/client.py [--gain 10] a.jpg ..`.

With `--gain`, mm/mV, what was read is corrected before it is kept. The standard library is enough. `$ECG_TRT_TOKEN`
holds the token of a server that needs one. Research use only, not a medical device.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SERVER = os.environ.get("ECG_TRT_SERVER", "http://127.0.0.1:8000")
TOKEN = os.environ.get("ECG_TRT_TOKEN", "")


def call(method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    """Send a request; an error becomes a sentence with its hint."""
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {TOKEN}"} if TOKEN else {})
    try:
        with urlopen(Request(SERVER + path, body, headers, method=method), timeout=300) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        sys.exit(f"error: {json.load(error).get('detail', error)}")


def read(photo: Path, **options: str) -> list[dict[str, Any]]:
    """Read a photo, or every page of a file, and wait for the records."""
    boundary = uuid.uuid4().hex
    part = f"--{boundary}\r\nContent-Disposition: form-data; name="
    fields = "".join(f'{part}"{name}"\r\n\r\n{value}\r\n' for name, value in options.items())
    head = f'{fields}{part}"files"; filename="{photo.name}"\r\n\r\n'
    body = head.encode() + photo.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    answer = call("POST", "/v1/records?wait=120", body, f"multipart/form-data; boundary={boundary}")
    return list(json.loads(answer)["records"])


def main() -> None:
    """Read the photos that are named, and write the leads of each page, mV."""
    photos, gain = sys.argv[1:], None
    if photos[:1] == ["--gain"]:
        gain, photos = float(photos[1]), photos[2:]
    if not photos:
        sys.exit(__doc__)
    for photo in map(Path, photos):
        for record in read(photo, fs="500"):
            name, path = f"{photo.name}, page {record['page']}", f"/v1/records/{record['id']}"
            if record["state"] != "done":
                print(f"{name}: {(record['error'] or {}).get('detail', record['state'])}")
                continue
            if gain is not None:
                record = json.loads(call("PATCH", path, json.dumps({"gain": gain}).encode()))
            target = photo.with_suffix(f".p{record['page']}.csv")
            target.write_bytes(call("GET", f"{path}?format=csv"))
            print(f"{name}: quality {record['record']['mean_quality']:.2f}, {target}")
            call("DELETE", path)
    print("Research use only, not a medical device", file=sys.stderr)


if __name__ == "__main__":
    main()
