"""Manifests, and every way in which a plan can be the wrong one."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from platformdirs import user_cache_dir

from ecg_trt.cli import main
from ecg_trt.engines.manifest import Flavour, Manifest, PlanKey
from ecg_trt.engines.store import PlanStore, checked_plan
from ecg_trt.errors import PlanCorruptError, PlanError, PlanMismatchError, PlanMissingError
from ecg_trt.paths import cache_dir
from ecg_trt.types import TensorSpec

KEY = PlanKey("stage0", Flavour.RTX, "1.7.1", "8.6", "fp16", "ab" * 32)
PLAN = b"vtrt" + bytes(range(256))


def manifest_of(key: PlanKey, plan: bytes) -> Manifest:
    return Manifest(
        key,
        (TensorSpec("image", "uint8", (1, 8, 8, 3)),),
        (TensorSpec("page", "float32", (1, 1, 2, 2)),),
        {"frontend": "onnx"},
        hashlib.sha256(plan).hexdigest(),
        len(plan),
        "ecg_trt 0",
    )


@pytest.fixture
def store(tmp_path: Path) -> PlanStore:
    return PlanStore(tmp_path / "plans")


@pytest.fixture
def path(store: PlanStore) -> Path:
    return store.save(manifest_of(KEY, PLAN), PLAN)


def test_a_plan_comes_back(store: PlanStore, path: Path) -> None:
    plan, manifest = store.load(KEY)
    assert plan == PLAN
    assert manifest == manifest_of(KEY, PLAN)
    assert manifest.profile == {"image": (1, 8, 8, 3)}
    assert path.name == "stage0_rtx-1.7.1_sm86_fp16_abababababab.plan"
    assert sorted(p.name for p in store.root.iterdir()) == [path.name, f"{path.name}.json"]


def test_missing(store: PlanStore) -> None:
    line = "ecg-trt build --flavour rtx --precision fp16 --stage stage0 --compute-capability 8.6"
    with pytest.raises(PlanMissingError, match=f"{re.escape(line)}$"):
        store.load(KEY)
    with pytest.raises(PlanMissingError, match="No such file"):
        checked_plan(store.path(KEY), KEY)
    trt = replace(KEY, flavour=Flavour.TRT)
    with pytest.raises(PlanMissingError, match=r"ecg-trt build --flavour trt --precision fp16 --stage stage0$"):
        store.load(trt)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with b''"),
        (b"\x89PNG and more", "begins with b'.x89PNG'"),
        (PLAN[:-1], "259 bytes; expected 260 bytes"),
        (PLAN[:-1] + b"!", "sha256"),
        (b"ftrt" + PLAN[4:], "sha256"),
    ],
)
def test_corrupt(store: PlanStore, path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(PlanCorruptError, match=f"{words}.*ecg-trt build --flavour rtx"):
        store.load(KEY)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "key": {"stage": 1, "flavour": "rtx"}}']
)
def test_a_manifest_that_cannot_be_read(store: PlanStore, path: Path, text: str) -> None:
    manifest_path = path.with_name(f"{path.name}.json")
    manifest_path.write_text(text)
    with pytest.raises(PlanCorruptError, match=r"\.plan\.json"):
        store.load(KEY)
    manifest_path.unlink()
    with pytest.raises(PlanCorruptError, match="No such file"):
        store.load(KEY)


def test_a_manifest_of_strange_fields_is_not_read() -> None:
    content = json.loads(manifest_of(KEY, PLAN).to_json())
    assert Manifest.from_json(json.dumps(content)) == manifest_of(KEY, PLAN)
    for changes in ({"more": 1}, {"key": {**content["key"], "flavour": "onnx"}}, {"inputs": [{"name": "x"}]}):
        with pytest.raises(ValueError):
            Manifest.from_json(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flavour": Flavour.TRT}, "another flavour: got flavour rtx; expected flavour trt"),
        ({"version": "1.8.0"}, "another TensorRT version: got TensorRT version 1.7.1; expected TensorRT version 1.8.0"),
        ({"capability": "8.9"}, "another compute capability: got .* 8.6; expected compute capability 8.9"),
        ({"onnx_sha256": "cd" * 32}, "another ONNX: got ONNX abababababab; expected ONNX cdcdcdcdcdcd"),
        ({"precision": "fp32"}, "another precision: got precision fp16; expected precision fp32"),
        ({"flavour": Flavour.TRT, "version": "10.13", "onnx_sha256": "cd" * 32}, "another flavour"),
        ({"version": "1.8.0", "capability": "8.9"}, "another TensorRT version"),
        ({"capability": "8.9", "onnx_sha256": "cd" * 32}, "another compute capability"),
    ],
)
def test_mismatches_name_the_first_difference(store: PlanStore, path: Path, change: dict[str, Any], words: str) -> None:
    wanted = replace(KEY, **change)
    with pytest.raises(PlanMismatchError, match=words) as by_name:
        store.load(wanted)
    with pytest.raises(PlanMismatchError, match=words) as by_content:
        checked_plan(path, wanted)
    for caught in (by_name, by_content):
        assert str(caught.value).endswith(f"Run: {wanted.build_line}")


def test_a_plan_under_another_plans_name_is_not_trusted(store: PlanStore, path: Path) -> None:
    other = replace(KEY, stage="stage1")
    for suffix in ("", ".json"):
        path.with_name(f"{path.name}{suffix}").rename(store.path(other).with_name(f"{other.name}{suffix}"))
    with pytest.raises(PlanMismatchError, match="another network: got network stage0; expected network stage1"):
        store.load(other)
    (found,) = store.verify()
    assert isinstance(found.fault, PlanMismatchError)


@pytest.mark.parametrize("magic", Flavour.TRT.magic)
def test_plans_of_old_and_new_tensorrt_are_known(store: PlanStore, magic: bytes) -> None:
    assert b"ptrt" in Flavour.TRT.magic, "TensorRT 8.5"
    key, plan = replace(KEY, flavour=Flavour.TRT, version="8.5.3"), magic + PLAN
    store.save(manifest_of(key, plan), plan)
    assert store.load(key)[0] == plan


def test_a_plan_that_lies_about_its_flavour(store: PlanStore) -> None:
    plan = b"ftrt" + PLAN
    path = store.save(manifest_of(KEY, plan), plan)
    with pytest.raises(PlanMismatchError, match="got flavour trt; expected flavour rtx"):
        checked_plan(path, KEY)


@pytest.mark.parametrize("flavour", Flavour)
def test_a_plan_for_any_gpu_serves_where_there_is_none_for_this_one(store: PlanStore, flavour: Flavour) -> None:
    key = replace(KEY, flavour=flavour)
    plan, exact = flavour.magic[0] + b" for any", flavour.magic[0] + b" for one"
    store.save(manifest_of(replace(key, capability="any"), plan), plan)
    assert store.load(key)[0] == plan
    assert store.load(replace(key, capability="9.0"))[0] == plan
    with pytest.raises(PlanMismatchError, match=r"compute capability any; expected compute capability 7\.5"):
        store.load(replace(key, capability="7.5"))
    store.save(manifest_of(key, exact), exact)
    assert store.load(key)[0] == exact


def test_the_build_line_is_a_line_that_the_command_takes() -> None:
    trt = replace(KEY, flavour=Flavour.TRT)
    keys = (KEY, replace(KEY, capability="any", precision="fp32"), trt, replace(trt, capability="any"))
    for key in keys:
        program, *arguments = shlex.split(key.build_line)
        assert program == "ecg-trt"
        result = CliRunner().invoke(main, [*arguments, "--help"])
        assert result.exit_code == 0 and "No such" not in result.output


def test_verify_and_plans(store: PlanStore, path: Path) -> None:
    bad = store.save(manifest_of(replace(KEY, stage="stage1"), PLAN), PLAN)
    bad.write_bytes(b"gone wrong")
    alone = store.root / "alone.plan"
    alone.write_bytes(PLAN)
    assert [p.path for p in store.plans()] == [alone, path, bad]
    faults = {plan.path: plan.fault for plan in store.verify()}
    assert faults[path] is None
    assert isinstance(faults[bad], PlanCorruptError) and isinstance(faults[alone], PlanCorruptError)
    assert "engines prune" in str(faults[alone])
    assert isinstance(faults[alone], PlanError)


def test_prune(store: PlanStore, path: Path) -> None:
    keys = {
        "old network": replace(KEY, onnx_sha256="cd" * 32),
        "old version": replace(KEY, version="1.6.0"),
        "other flavour": replace(KEY, flavour=Flavour.TRT, version="10.13"),
        "corrupt": replace(KEY, stage="stage1"),
    }
    paths = {}
    for name, key in keys.items():
        plan = key.flavour.magic[0] + PLAN[4:]
        paths[name] = store.save(manifest_of(key, plan), plan)
    paths["corrupt"].write_bytes(PLAN[:-1])
    orphan = store.root / "lost.plan.json"
    orphan.write_text("{}")
    arguments = [KEY.onnx_sha256], {Flavour.RTX: [KEY.version], Flavour.TRT: []}
    told = store.prune(*arguments, dry_run=True)
    assert orphan.is_file() and len(store.plans()) == 5
    assert store.prune(*arguments) == told
    reasons = dict(told)
    assert reasons[paths["old network"]] == "its network is no longer in use"
    assert reasons[paths["old version"]] == "rtx 1.7.1 is installed"
    assert reasons[paths["corrupt"]] == "PlanCorruptError"
    assert {p.path for p in store.plans()} == {path, paths["other flavour"]}
    assert len(list(store.root.iterdir())) == 4
    assert store.prune(*arguments) == []


def test_prune_keeps_plans_of_the_lean_runtime(store: PlanStore) -> None:
    plan = b"ftrt" + PLAN
    for version in ("10.13.0", "10.16.0"):
        store.save(manifest_of(replace(KEY, flavour=Flavour.TRT, version=version), plan), plan)
    assert store.prune([KEY.onnx_sha256], {Flavour.TRT: ["10.16.0", "10.13.0"]}) == []
    ((path, why),) = store.prune([KEY.onnx_sha256], {Flavour.TRT: ["10.16.0"]})
    assert "10.13.0" in path.name and why == "trt 10.16.0 is installed"


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ECG_TRT_HOME", raising=False)
    assert cache_dir().name == "ecg_trt"
    assert str(cache_dir()) == user_cache_dir("ecg_trt", appauthor=False, opinion=False)
    monkeypatch.setenv("ECG_TRT_HOME", str(tmp_path))
    assert cache_dir() == tmp_path
    assert PlanStore().root == tmp_path / "plans"


def test_every_part_of_a_key_is_compared(store: PlanStore, path: Path) -> None:
    for field in fields(PlanKey):
        other: Any = Flavour.TRT if field.name == "flavour" else "9.9"
        with pytest.raises(PlanMismatchError, match=re.escape(path.name)):
            checked_plan(path, replace(KEY, **{field.name: other}))
