"""`inr doctor` and `inr presets`: facts of the machine, and tables of networks."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

from inr.layout import weights
from inr.spec import VideoSpec
from train.cli import doctor
from train.cli.preset_tables import MEASURED, listed
from train.plan.network_size import modulated_spec
from train.plan.options import AUTO, MODELS, PRESETS


def test_doctor_lists_devices_cores_versions_and_encoders(inr: Callable[..., Outcome]):
    facts = inr("doctor", "--json").last
    assert facts["backend"] == "cpu"
    assert facts["devices"]
    assert facts["cores"] >= 1
    assert facts["versions"]["constriction"].startswith("0.5")
    assert "x264" in facts["encoders"]
    text = inr("doctor").out
    for word in ("JAX", "compiled", "encoders", "versions"):
        assert word in text


def test_doctor_finds_files_that_would_be_imported_in_our_place(tmp_path: Path):
    assert not doctor.examined(tmp_path)["warnings"]
    (tmp_path / "train.py").write_text("")
    (tmp_path / "codec").mkdir()
    (tmp_path / "codec" / "__init__.py").write_text("")
    warnings = doctor.examined(tmp_path)["warnings"]
    assert len(warnings) == 2
    assert "train.py" in warnings[1]


def test_doctor_knows_accelerators_that_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert any("inr-codec[cuda]" in warning for warning in doctor.examined(tmp_path)["warnings"])
    assert any("bfloat16" in warning for warning in doctor._accelerators("tpu"))


def test_presets_list_planned_networks_and_measured_times(clip_file: Path, inr: Callable[..., Outcome]):
    found = listed()
    assert [row["preset"] for row in found["presets"]] == list(PRESETS) == list(MEASURED)
    assert {row["model"].removesuffix("+cam") for row in found["models"]} == set(MODELS) - {AUTO}
    nominal = VideoSpec(320, 160, 32)
    assert found["presets"][0]["weights"] == weights(modulated_spec(nominal, 0.05), nominal)
    assert "medium" in inr("presets").out
    own = json.loads(inr("presets", clip_file, "--target-bpp", 1, "--json").out)
    video = VideoSpec(48, 32, 6)
    assert own["presets"][0]["weights"] == weights(modulated_spec(video, 1.0), video)
