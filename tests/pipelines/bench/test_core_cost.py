"""The bench without networks: that its pictures go the whole way, and that stand-ins are free."""

import io
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from pipelines.bench.collection import Extent, to_jpeg
from pipelines.bench.core_cost import core_costs
from pipelines.bench.print_cost import PrintedPage
from pipelines.bench.stand_ins import StandIns, with_wave

SMALL = Extent(pictures=2, width=450, seconds=0.0)


def plain() -> np.ndarray:
    rng = np.random.default_rng(5)
    blocks = rng.integers(40, 216, (10, 15, 1), dtype=np.uint8)
    blocks = blocks.repeat(3, axis=2)
    return blocks.repeat(30, axis=0).repeat(30, axis=1)


def test_every_stage_of_both_sorts_of_pictures_has_its_price(tiny_config: CleanerConfig) -> None:
    costs = core_costs(tiny_config, SMALL)

    cleaned = asdict(costs.cleaned.stages)
    copied = asdict(costs.copied.stages)
    assert set(copied) < set(cleaned)
    assert min(*cleaned.values(), *copied.values()) >= 0
    assert costs.cleaned.milliseconds > costs.copied.milliseconds > 0
    assert costs.lettering > 0
    assert costs.cleaned.mps_a_core * costs.cleaned.milliseconds == pytest.approx(1000)


def test_the_printed_page_has_type_that_is_kept_beside_dots_that_are_not() -> None:
    page = PrintedPage.drawn(Extent())
    kept = page.keep_type()
    is_as_scanned = (kept == page.scanned).all(axis=2)
    is_as_restored = (kept == page.restored).all(axis=2)
    assert (is_as_scanned & ~is_as_restored).any() and (is_as_restored & ~is_as_scanned).any()


def test_the_stand_ins_take_their_own_moire_away_and_leave_other_pictures_alone(
    tiny_config: CleanerConfig,
) -> None:
    networks = StandIns()
    cleaner = Cleaner(replace(tiny_config, provenance=False), networks.models)

    spoilt = cleaner.clean(to_jpeg(with_wave(plain())))

    assert spoilt.status == "cleaned"
    assert spoilt.moire_after is not None and spoilt.moire_after < 0.5
    restored = np.asarray(Image.open(io.BytesIO(spoilt.data))).astype(float)
    assert np.abs(restored - (0.9 * plain() + 12.5)).mean() < 2
    assert cleaner.clean(to_jpeg(plain())).status == "copied"
    assert networks.seconds > 0
