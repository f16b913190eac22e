"""Every committed file decodes to its committed symbols and tensors exactly, and to its pixels within one level."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_vectors import FOLDER, VECTORS, hashes, symbols_of

from codec.decoder import decode
from codec.encoder import encode

NAMES = sorted(path.stem for path in FOLDER.glob("*.inr"))


def test_each_kind_of_file_has_a_vector():
    assert sorted(VECTORS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_decodes_to_its_facts(name: str):
    data = (FOLDER / f"{name}.inr").read_bytes()
    facts = json.loads((FOLDER / f"{name}.json").read_text())
    model = decode(data)
    assert hashes(symbols_of(model)) == facts["symbols"]
    assert hashes(model.tensors(-1)) == facts["tensors"]
    expected = np.load(FOLDER / f"{name}.npy")
    assert np.abs(model.render_entry(-1).astype(int) - expected).max() <= 1
    assert encode(model) == data


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_holds_the_specs_of_the_script(name: str):
    model = decode((FOLDER / f"{name}.inr").read_bytes())
    assert (model.spec, model.videos[-1].spec) == VECTORS[name]


def test_another_process_with_one_thread_agrees(tmp_path: Path):
    """Symbols and tensors are the same in every process, pixels within one level."""
    code = (
        "import json, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from codec.decoder import decode\n"
        "from make_vectors import hashes, symbols_of\n"
        "model = decode(Path(sys.argv[1]).read_bytes())\n"
        "np.save(sys.argv[2], model.render())\n"
        "print(json.dumps({'symbols': hashes(symbols_of(model)), 'tensors': hashes(model.tensors())}))\n"
    )
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])),
    }
    command = [sys.executable, "-c", code, str(FOLDER / "cam.inr"), str(tmp_path / "pixels.npy")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, cwd=Path(__file__).parent.parent)
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads((FOLDER / "cam.json").read_text())
    assert np.abs(np.load(tmp_path / "pixels.npy").astype(int) - np.load(FOLDER / "cam.npy")).max() <= 1
