"""Training of the caption network (printed text): `python -m train.run --stage caption --minutes 60`."""

from __future__ import annotations

import numpy as np

from ecg_trt.printed import CHARACTERS, decoded, settings_of
from train.data.samples import Sample
from train.data.text import text_samples
from train.losses import Maps, Target, Targets
from train.tasks.task import Task


def targets(truth: Maps) -> Targets:
    """The characters of the line in the middle."""
    return {"text": Target(truth["text"], (truth["text"] > 0).float())}


def measure(out: Maps, truth: Maps) -> dict[str, float]:
    """Share of lines read without an error; of lines with a setting, those whose settings are read; and wrong ones."""
    pairs = [
        (decoded(logits)[0].split(), "".join(CHARACTERS[k - 1] for k in classes if k).split())
        for logits, classes in zip(
            out["text"][:, 0].detach().float().cpu().numpy(), truth["text"].tolist(), strict=True
        )
    ]
    states = [tuple({(s.quantity, s.value) for s in settings_of(" ".join(words))} for words in pair) for pair in pairs]
    stated = [read == true for read, true in states if true]
    return {
        "right": float(np.mean([read == true for read, true in pairs])),
        "settings_right": float(np.mean(stated)) if stated else 1.0,
        "settings_wrong": float(np.mean([bool(read - true) for read, true in states])),
    }


def is_positive(sample: Sample) -> bool:
    """Tell if a crop shows text."""
    return bool(sample["text"].any())


# The truth of user datasets does not say what is printed on the page.
TASK = Task("caption", text_samples, targets, measure, is_positive, {"text": {"ctc": 1.0}},
            batch=32, user_layouts=())  # fmt: skip
