"""`inr doctor` and `inr presets`: what there is, said."""

import json
from pathlib import Path

import pytest

from codec.shell import run
from inr.layout import weights
from inr.spec import VideoSpec
from train import doctor
from train.cli.main import application
from train.cli.preset_tables import listed
from train.plan.presets import MEASURED, MODELS, PRESETS, modulated_spec


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert run(application, list(map(str, arguments))) == 0
    return capsys.readouterr().out


def test_doctor_says_what_there_is(capsys: pytest.CaptureFixture[str]):
    facts = json.loads(said(capsys, "doctor", "--json"))
    assert facts["backend"] == "cpu"
    assert facts["devices"]
    assert facts["cores"] >= 1
    assert facts["versions"]["constriction"].startswith("0.5")
    assert "x264" in facts["encoders"]
    text = said(capsys, "doctor")
    for word in ("JAX", "compiled", "encoders", "versions"):
        assert word in text


def test_doctor_finds_what_would_be_imported_in_our_place(tmp_path: Path):
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


def test_presets_list_what_is_planned_and_measured(clip_file: Path, capsys: pytest.CaptureFixture[str]):
    found = listed()
    assert [row["preset"] for row in found["presets"]] == list(PRESETS) == list(MEASURED)
    assert {row["model"].removesuffix("+cam") for row in found["models"]} == set(MODELS)
    nominal = VideoSpec(320, 160, 32)
    assert found["presets"][0]["weights"] == weights(modulated_spec(nominal, 0.05), nominal)
    assert "medium" in said(capsys, "presets")
    own = json.loads(said(capsys, "presets", clip_file, "--target-bpp", 1, "--json"))
    video = VideoSpec(48, 32, 6)
    assert own["presets"][0]["weights"] == weights(modulated_spec(video, 1.0), video)
