"""train/batch/manifest.py and train/batch/item.py: tables and patterns of sources, and the keys of items."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inr.errors import InputError, InrError, UsageError
from train.batch.item import LONGEST_NAME, Item
from train.batch.manifest import OPTIONS, Row, read_manifest
from train.cli.batch import ItemFlags
from train.plan.options import encode_options


def table(folder: Path, text: str, name: str = "jobs.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_row_is_a_source_with_its_options(tmp_path: Path):
    lines = ["source,name,target-bpp,frames,cam", "a.mp4,first,0.2,0:8,yes", '"b, c.mkv",,,,']
    first, second = read_manifest([table(tmp_path, "\n".join(lines) + "\n")], {"quality": 60, "preset": "fast"})
    assert (first.source, first.name) == (tmp_path / "a.mp4", "first")
    assert first.options == {"preset": "fast", "target_bpp": 0.2, "frames": "0:8", "cam": True}  # its target replaces the default
    assert (second.source, second.name, second.options) == (tmp_path / "b, c.mkv", "b, c", {"quality": 60, "preset": "fast"})


def test_lines_of_json_are_rows_too(tmp_path: Path):
    lines = [{"source": "a.mp4", "--target-psnr": 30, "frames": [0, 8], "mask": "m.png", "seed": None}, {"input": "/b.png", "chunk": 16}]
    first, second = read_manifest([table(tmp_path, "\n\n".join(map(json.dumps, lines)), "jobs.jsonl")], {})
    assert first.options == {"target_psnr": 30.0, "frames": "0:8", "mask": str(tmp_path / "m.png")}
    assert (second.source, second.options) == (Path("/b.png"), {"chunk": "16"})
    assert encode_options(**second.options).segmentation is not None


def test_a_path_starts_at_the_folder_of_the_table_or_else_at_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    for name in ("a.mp4", "b.mp4", "tables/a.mp4"):
        (tmp_path / name).touch()
    rows = read_manifest([table(tmp_path / "tables", "source\na.mp4\nb.mp4\nc.mp4\n")], {})
    assert [row.source for row in rows] == [tmp_path / "tables" / "a.mp4", Path("b.mp4"), tmp_path / "tables" / "c.mp4"]


def test_every_file_that_a_pattern_matches_is_a_source(tmp_path: Path):
    for name in ("b.png", "a.png", ".c.png", "deep/d.png", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [row.name for row in read_manifest([tmp_path / "*.png"], {})] == ["a", "b"]
    assert [row.name for row in read_manifest([tmp_path / "**" / "*.png"], {})] == ["a", "b", "d"]
    assert [row.name for row in read_manifest([tmp_path / "[ac].png"], {})] == ["a"]
    assert [row.name for row in read_manifest([tmp_path / "b.png", tmp_path / "e.txt"], {})] == ["b", "e"]


MISTAKES = [
    ("source,taget-bpp\na.mp4,0.2\n", UsageError, "no option 'taget_bpp'", "target_bpp"),
    ("file\na.mp4\n", UsageError, "no column source", "source"),
    ("source,target_bpp\na.mp4,much\n", UsageError, "line 2: target_bpp 'much' is not a number", ""),
    ("source,cam\na.mp4,perhaps\n", UsageError, "truth value", ""),
    ("source,target_bpp\na.mp4,0.2\nb.mp4,99\n", UsageError, "line 3: --target-bpp 99", ""),
    ("source,target_bpp,quality\na.mp4,0.2,50\n", UsageError, "contradict", ""),
    ("source,seed\na.mp4,1,2\n", UsageError, "line 2: more cells than columns", "quote"),
    ("source,seed\n,1\n", UsageError, "line 2: a row needs one source", ""),
    ("source\n", InputError, "there is no source", "header"),
    ("", InputError, "there is no source", "header"),
]


@pytest.mark.parametrize(("text", "kind", "problem", "fix"), MISTAKES)
def test_a_mistake_in_a_table_is_explained(tmp_path: Path, text: str, kind: type[InrError], problem: str, fix: str):
    with pytest.raises(kind) as caught:
        read_manifest([table(tmp_path, text)], {})
    assert problem in caught.value.what
    assert fix in caught.value.fix


def test_other_mistakes_are_explained(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    not_json = table(tmp_path, '{"source": "a.mp4"}\nb.mp4\n', "jobs.jsonl")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"source\n\xff\xfe\n")
    for path, problem in [
        (tmp_path / "none.csv", "cannot be read"), (tmp_path / "none.mp4", "no such file"), (tmp_path / "*.mp4", "nothing matches"),
        (tmp_path / "folder", "is a folder"), (not_json, "line 2 is not JSON"), (binary, "not UTF-8"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=problem):
            read_manifest([path], {})


def test_the_columns_are_the_options_of_the_command():
    assert set(OPTIONS) == set(ItemFlags.__dataclass_fields__)


# Items


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(b"pixels")
    return path


def key(source: Path, **options: Any) -> str:
    return Item.of(Row(source, "a", options)).key


def test_a_key_depends_on_bytes_and_options_but_not_on_their_form(source: Path, tmp_path: Path):
    assert key(source) == key(source, quality=50, preset="medium", frames="", seed=0)
    moved = tmp_path / "elsewhere" / "a.png"
    moved.parent.mkdir()
    moved.write_bytes(source.read_bytes())
    assert key(moved) == key(source)
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"white")
    options: list[dict[str, Any]] = [
        {"quality": 51}, {"preset": "fast"}, {"seed": 1}, {"frames": "0:1"}, {"scale": "1/2"}, {"chunk": "4"}, {"mask": str(mask)},
    ]  # fmt: skip
    keys = [key(source), *(key(source, **own) for own in options)]
    mask.write_bytes(b"black")
    keys.append(key(source, mask=str(mask)))
    source.write_bytes(b"other pixels")
    keys.append(key(source))
    source.unlink()
    keys.append(key(source))  # a missing source has a key, too
    assert len(set(keys)) == len(keys)


def test_a_key_of_a_folder_depends_on_its_images(tmp_path: Path):
    folder = tmp_path / "frames"
    folder.mkdir()
    assert key(folder) == key(folder)
    empty = key(folder)
    (folder / "1.png").write_bytes(b"one")
    one = key(folder)
    (folder / "notes.txt").write_bytes(b"no image")
    assert key(folder) == one != empty


def test_names_of_folders_are_short(source: Path):
    item = Item.of(Row(source, "ü" * 300, {}))
    assert len(item.short_name.encode()) == LONGEST_NAME
    assert len(item.file_name.encode()) < 255
    assert Item(**json.loads(json.dumps(item.as_json()))) == item
    assert np.all([letter == "ü" for letter in item.short_name])
