"""A run on a local Ray cluster of two workers; a program of its own, as Ray leaves threads, processes and warnings.

::

    python -m tests.distributed.ray_cluster ARCHIVE OUT

It kills one of the workers in mid-run, writes the pages to the Parquet files OUT, and prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

WORKER = b"ray::MapWorker(MapBatches(RowWorker))"
BUSY_S = 4.0  # Time after which workers that are there have read a part of their first photos.


def page_workers() -> set[int]:
    """Process ids of the page workers of this cluster: their environment holds its token."""
    token, found = os.environ["RAY_AUTH_TOKEN"].encode(), set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(WORKER) and token in (folder / "environ").read_bytes():
                found.add(int(folder.name))
        except OSError:  # It has ended meanwhile, or is another user's.
            continue
    return found


class Killer(threading.Thread):
    """Kills one of two workers when both have been at work for a while; notes all that are there meanwhile."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = page_workers()  # Those of an earlier dataset, which are on their way out.
        self.seen: set[int] = set()
        self.killed = 0
        self.is_over = threading.Event()

    def run(self) -> None:
        since = time.monotonic()
        before: set[int] = set()
        while not self.is_over.wait(0.2):
            now = page_workers() - self.before
            self.seen |= now
            if now != before or len(now) != 2:
                since, before = time.monotonic(), now
            elif not self.killed and time.monotonic() - since > BUSY_S:
                self.killed = min(now)
                os.kill(self.killed, signal.SIGKILL)


def main(archive: str, out: str) -> None:
    import ray
    import ray.data

    from ecg_trt.config import RuntimeOptions
    from ecg_trt.distributed.ray import digitize

    # Two workers, and a core to read and write.
    ray.init(num_cpus=3, object_store_memory=500_000_000, include_dashboard=False, log_to_driver=False)
    try:
        options = RuntimeOptions(backend="ort")
        missing = ray.data.from_items([{"path": f"{archive}/not there.jpg"}, {"path": f"{archive}/no picture.jpg"}])
        opened_by_workers = digitize(missing, runtime_options=options).take_all()
        killer = Killer()
        killer.start()
        digitize(archive, formats=["csv"], runtime_options=options, concurrency=2).write_parquet(out)
        killer.is_over.set()
        killer.join()
    finally:
        ray.shutdown()
    errors = {Path(row["file"]).name: row["error"] for row in opened_by_workers}
    print(json.dumps({"killed": killer.killed, "seen": len(killer.seen), "errors": errors}))


if __name__ == "__main__":
    main(*sys.argv[1:])
