"""Takes moiré out of images: touches nothing that was fine.

    from demoire import Cleaner

    cleaned = Cleaner().clean(Path("scan.jpg").read_bytes())
    if cleaned.status == "cleaned":
        Path("clean.jpg").write_bytes(cleaned.data)

What is listed here is the public API; everything else may change with any version. Names are
loaded when they are first used, so that `import demoire` costs nothing and the errors alone cost no
torch. None of them needs Ray or Prefect: whole archives are the matter of `pipelines` and `flows`,
of which the command `demoire` is the public face.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demoire.cleaning.cleaner import Cleaner
    from demoire.cleaning.config import CleanerConfig
    from demoire.cleaning.result import Cleaned, Detection, ImageStatus
    from demoire.cleaning.threads import use_threads
    from demoire.errors import (
        ConfigError,
        DemoireError,
        ImageError,
        ProofError,
        SourceChangedError,
        StoppedError,
        StorageError,
        UnusablePlaceError,
        UsageError,
        WeightsError,
    )
    from demoire.moire import MoireKind
    from demoire.reasons import Reason

    __version__: str

__all__ = [
    "Cleaned",
    "Cleaner",
    "CleanerConfig",
    "ConfigError",
    "DemoireError",
    "Detection",
    "ImageError",
    "ImageStatus",
    "MoireKind",
    "ProofError",
    "Reason",
    "SourceChangedError",
    "StoppedError",
    "StorageError",
    "UnusablePlaceError",
    "UsageError",
    "WeightsError",
    "__version__",
    "use_threads",
]

_MODULE_OF = {
    "Cleaned": "demoire.cleaning.result",
    "Cleaner": "demoire.cleaning.cleaner",
    "CleanerConfig": "demoire.cleaning.config",
    "Detection": "demoire.cleaning.result",
    "ImageStatus": "demoire.cleaning.result",
    "MoireKind": "demoire.moire",
    "Reason": "demoire.reasons",
    "use_threads": "demoire.cleaning.threads",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'demoire' has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("demoire")
    else:
        # All that has no module of its own is an error.
        value = getattr(import_module(_MODULE_OF.get(name, "demoire.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
