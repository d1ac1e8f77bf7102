"""Grey pictures of black and white ones, made in the lanes while the pixels are at hand."""

import logging
import queue
from dataclasses import replace
from functools import partial
from typing import Generic

from demoire.cleaning.descreening import descreened
from demoire.cleaning.engine import Engine
from demoire.cleaning.events import Event, FromEncoder, MachineFailed
from demoire.cleaning.image_job import Copied, ImageJob, K
from demoire.cleaning.lanes import Lanes
from demoire.cleaning.verdict import Rules
from demoire.errors import ImageError, MachineError
from demoire.imaging.grey_png import grey_png
from demoire.imaging.images import Picture, open_image
from demoire.reasons import Reason

_LOG = logging.getLogger(__name__)


class GreyMaker(Generic[K]):
    """Makes the grey pictures of one run.

    Args:
        engine: The networks.
        rules: How images are cleaned.
        lanes: Make them.
        events: Where lanes report.
    """

    def __init__(
        self, engine: Engine, rules: Rules, lanes: Lanes, events: "queue.SimpleQueue[Event[K]]"
    ) -> None:
        self._engine = engine
        self._rules = rules
        self._lanes = lanes
        self._events = events

    def begin(self, job: ImageJob[K], copied: Copied, picture: Picture) -> None:
        """Let a lane make one, and report the image as copied with it.

        Args:
            job: The image.
            copied: Its state.
            picture: Its pixels.
        """
        self._lanes.begin(partial(self._run, job, copied, picture))

    def _run(self, job: ImageJob[K], copied: Copied, picture: Picture) -> None:
        grey: bytes | ImageError | None
        try:
            grey = _grey_file(picture, self._engine, self._rules)
        except ImageError as error:
            grey = error
        except MachineError as error:
            self._events.put(MachineFailed(error))
            return
        except Exception as error:
            _LOG.exception("Image %r has no grey picture.", job.key)
            grey = ImageError(Reason.CLEANING_FAILED, f"It could not be made: {error}")
        job.state = replace(copied, grey=grey)
        self._events.put(FromEncoder(job))


def _grey_file(picture: Picture, engine: Engine, rules: Rules) -> bytes | None:
    """A grey PNG of a black and white picture whose dots stand for greys.

    Args:
        picture: One with the obstacle `bilevel`.
        engine: The networks.
        rules: As for `descreened`, and what the file says of its making.

    Returns:
        A file of the same size, resolution and orientation; None where the picture shows no dots.

    Raises:
        ImageError: `cleaning_failed`: the restorer gave no usable picture.
    """
    grey = descreened(picture.pixels, engine, rules)
    if grey is None:
        return None
    return grey_png(grey, open_image(picture.source).header, rules.note)
