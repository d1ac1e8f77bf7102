"""Histograms: bars that can be compared, and marks that a reader can read."""

import pytest

from pipelines.report.charts import histogram


@pytest.mark.parametrize(
    ("top", "labels"),
    [(0, ["1"]), (1, ["1"]), (3, ["2", "4"]), (7, ["5", "10"]), (47, ["30", "60"])],
)
def test_a_linear_axis_ends_at_a_round_number(top: int, labels: list[str]) -> None:
    chart = histogram([("images", "all", [0, top])])

    assert [tick.label for tick in chart.ticks] == labels
    assert chart.ticks[-1].height == 1


def test_two_series_share_one_axis() -> None:
    chart = histogram([("before", "before", [4, 0]), ("after", "after", [1, 2])])

    assert [series.heights for series in chart.series] == [(1, 0), (0.25, 0.5)]


def test_a_logarithmic_axis_shows_one_image_beside_a_million_and_none_as_none() -> None:
    chart = histogram([("images", "all", [0, 1, 1_000_000])], logarithmic=True)

    none, one, million = chart.series[0].heights
    assert none == 0
    assert one == pytest.approx(0.05, abs=0.01)
    assert million == 1
    assert [tick.label for tick in chart.ticks][:3] == ["1", "10", "100"]
