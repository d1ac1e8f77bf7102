"""Training of the detector and the restorer on simulated moiré: `train(load_config("restorer"),
images, out)`.

`demoire.training.search.search` runs many of them to find a structure and rates.
"""

from demoire.training.config import TrainConfig
from demoire.training.config_files import load_config
from demoire.training.loop import TrainResult, train

__all__ = ["TrainConfig", "TrainResult", "load_config", "train"]
