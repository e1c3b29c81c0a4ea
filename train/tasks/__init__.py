"""Networks that can be trained, one file each.

A new network is a file here, an entry in `TASKS`, and its shape in `train.models.STAGES`.
"""

from train.tasks import align, caption, rectify, trace
from train.tasks.task import Task

TASKS: dict[str, Task] = {task.stage: task for task in (align.TASK, rectify.TASK, trace.TASK, caption.TASK)}

__all__ = ["TASKS", "Task"]
