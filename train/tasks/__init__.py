"""Networks that can be trained, one file each.

A new network is a file here, an entry in `TASKS`, and its shape in `train.models.STAGES`, or `SIGNALS`.
"""

from train.tasks import align, caption, electrophysiology, heartbeat, rectify, trace
from train.tasks.task import Task

TASKS: dict[str, Task] = {
    task.stage: task
    for task in (
        align.TASK,
        rectify.TASK,
        trace.TASK,
        caption.TASK,
        heartbeat.TASK,
        heartbeat.TABLE_TASK,
        electrophysiology.ACTIVATION,
        electrophysiology.POTENTIALS,
    )
}

__all__ = ["TASKS", "Task"]
