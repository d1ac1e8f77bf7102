"""Rectangles of a picture, and how a picture is walked in stripes.

What is worked out of a picture takes several arrays of 4 bytes a sample on the way. Stripe by
stripe they stay in the cache, are never fresh memory, and do not grow with the picture. A stage
that looks at a pixel's neighbours sees the stripe grown by so many pixels, and keeps what lies
within the stripe.
"""

from collections.abc import Iterator
from dataclasses import dataclass

STRIPE_COLUMNS = 2048
"""px; a wider stripe is cut across, or its arrays would not stay in the cache."""


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels, half open."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """px from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """px from left to right."""
        return self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts the box out of the picture."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, outer: "Box") -> tuple[slice, slice]:
        """What cuts this box out of an array that covers `outer`."""
        top = self.top - outer.top
        left = self.left - outer.left
        return slice(top, top + self.height), slice(left, left + self.width)

    def common(self, other: "Box") -> "Box | None":
        """What both boxes cover; None if nothing."""
        box = Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )
        return box if box.height > 0 and box.width > 0 else None

    def around_both(self, other: "Box") -> "Box":
        """The smallest box that covers both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def grown(self, by: int, height: int, width: int) -> "Box":
        """This box with a margin of `by` px, within an image of this size."""
        return Box(
            max(self.top - by, 0),
            max(self.left - by, 0),
            min(self.bottom + by, height),
            min(self.right + by, width),
        )

    def moved(self, down: int, right: int) -> "Box":
        """This box at another place."""
        return Box(self.top + down, self.left + right, self.bottom + down, self.right + right)

    def on_grid(self, step: int, height: int, width: int) -> "Box":
        """The smallest box around this one at multiples of `step` px, within an image."""
        return Box(
            self.top // step * step,
            self.left // step * step,
            min(-(-self.bottom // step) * step, height),
            min(-(-self.right // step) * step, width),
        )

    def scaled(self, up: int = 1, down: int = 1) -> "Box":
        """The same part of an image whose sides are `up` times as long, or `down` times shorter."""
        return Box(
            self.top * up // down,
            self.left * up // down,
            self.bottom * up // down,
            self.right * up // down,
        )

    def around(self, inner: "Box") -> Iterator["Box"]:
        """What is left of this box without one inside it: above, below, at the left and right."""
        frame = (
            Box(self.top, self.left, inner.top, self.right),
            Box(inner.bottom, self.left, self.bottom, self.right),
            Box(inner.top, self.left, inner.bottom, inner.left),
            Box(inner.top, inner.right, inner.bottom, self.right),
        )
        for box in frame:
            if box.height > 0 and box.width > 0:
                yield box


def in_stripes(box: Box, pixels: int, columns: int = STRIPE_COLUMNS) -> Iterator[Box]:
    """Boxes that cover a box, each pixel once, from the top.

    Args:
        box: What is walked.
        pixels: About how many a stripe has. It is as high as that allows, and at least a row.
        columns: px that a stripe is wide at most.
    """
    rows = max(1, pixels // max(1, min(columns, box.width)))
    for top in range(box.top, box.bottom, rows):
        bottom = min(top + rows, box.bottom)
        for left in range(box.left, box.right, columns):
            yield Box(top, left, bottom, min(left + columns, box.right))
