"""train/plan/presets.py and network_size.py: networks sized to a rate, and the settings of their fits."""

import math

import numpy as np
import pytest

from inr.errors import UsageError
from inr.layout import weights
from inr.spec import VideoSpec
from train.plan.network_size import flow_grids, modulated_spec, upsampling
from train.plan.options import FitOptions, Model, Preset, encode_options
from train.plan.paper_networks import hnerv_spec
from train.plan.presets import lr_decay_steps, plan, rate_weight

BUNNY = VideoSpec(1280, 640, 132)


@pytest.mark.parametrize(
    ("size", "stem", "total"),
    [(0.35e6, 32, 329_726), (0.75e6, 48, 736_152), (1.5e6, 68, 1_505_172), (3e6, 97, 3_029_582)],
)
def test_hnervs_rule_gives_the_papers_widths(size: float, stem: int, total: int):
    spec = hnerv_spec(BUNNY, size)
    assert spec.stem == stem
    assert [block.kernel for block in spec.blocks] == [1, 3, 5, 5, 5]
    assert [block.stride for block in spec.blocks] == [5, 4, 4, 2, 2]
    assert weights(spec, BUNNY) == total


def test_hnerv_of_one_and_a_half_million_weights_has_the_papers_channels():
    assert [block.width for block in hnerv_spec(BUNNY, 1.5e6).blocks] == [57, 48, 40, 33, 28]


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (31, 40), (97, 131), (160, 320), (720, 1280), (1080, 1920), (1, 5000)])
def test_upsampling_pads_moderately(size: tuple[int, int]):
    strides, head = upsampling(*size)
    scale = int(np.prod(strides)) * head
    assert scale <= max(1, min(size) / 2)
    canvas = -(-size[0] // scale) * -(-size[1] // scale) * scale**2
    assert canvas <= 1.6 * size[0] * size[1]


def test_more_bits_give_larger_networks():
    video = VideoSpec(320, 160, 32)
    sizes = [weights(modulated_spec(video, bpp), video) for bpp in (0.01, 0.05, 0.15, 0.5)]
    assert sizes == sorted(set(sizes))
    assert rate_weight(0.2) < rate_weight(0.1)


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="--preset quick: it is one of fast, medium, slow, or a number of steps"):
        Preset.parse("quick")
    with pytest.raises(UsageError, match="--model enerv: it is one of auto, cam, tree, hnerv"):
        Model.parse("enerv")
    with pytest.raises(UsageError, match="or a number of steps"):
        Preset.parse("0")


def test_a_preset_may_be_a_number_of_steps():
    assert plan(BUNNY, 0.1, encode_options(preset="1234").fit)[1].steps == 1234
    assert [Preset.parse(name).steps for name in ("fast", "medium", "slow")] == [2500, 10_000, 32_000]
    assert (Preset.parse("1234").most_steps, Preset.parse("fast").most_steps) == (1234, math.inf)


def test_flows_are_finer_at_higher_rates():
    video = VideoSpec(640, 320, 132)
    (_, poor), (coarse, rich) = (flow_grids(video, bpp) for bpp in (0.02, 0.1))
    assert poor == (10, 20)
    assert rich == (32, 63)  # of at most 2 ** 19 weights altogether
    assert coarse == (10, 20)
    assert flow_grids(VideoSpec(640, 320, 16), 0.1)[1] == (50, 100)
    assert flow_grids(video, 0.0)[1] == (10, 20)  # never coarser than 32 pixels
    assert flow_grids(VideoSpec(640, 320, 16), 9.0)[1] == (53, 107)  # nor finer than 6
    assert flow_grids(VideoSpec(640, 320, 1), 0.1) == ((1, 1),)


def test_networks_and_batches_are_larger_on_an_accelerator():
    video, picture, options = VideoSpec(640, 320, 132), VideoSpec(640, 320, 1), FitOptions()
    (small, slow), (large, quick) = (plan(video, 0.1, options, accelerated) for accelerated in (False, True))
    assert weights(large, video) > 1.2 * weights(small, video)
    assert (slow.batch, quick.batch) == (2, 8)
    assert plan(BUNNY, 0.02, options, True)[1].batch == 4  # as many pixels a step
    assert plan(picture, 0.1, options, True) == plan(picture, 0.1, options, False)


def test_learning_rates_fall_sooner_at_higher_rates():
    """At twice the bits they fall after 2 ** 1.5 times fewer steps, within limits; those of a picture's fit never fall."""
    video = VideoSpec(640, 320, 16)
    assert [lr_decay_steps(video, bpp) for bpp in (0.1, 0.8, 0.05)] == [3536, 1800, 10_000]
    assert plan(VideoSpec(640, 320, 1), 0.4, FitOptions())[1].lr_decay_after_steps == FitOptions().preset.steps
    assert plan(video, 0.1, FitOptions())[1].lr_decay_after_steps == 3536
