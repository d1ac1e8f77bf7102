"""The registry of weights: a folder or bucket with every version of what was trained, under names.

    REGISTRY/NAME/000001.json           a version: digest, structure, configuration and figures
    REGISTRY/NAME/DIGEST.safetensors    the weights, named by their sha256

A version exists once its JSON does, and that is created exclusively, after the weights: a reader
sees all of it or nothing. Of two who register at once each gets a number of its own or is told to
look again, so neither is lost and "better than the newest" is said of the newest. `NAME` is the
newest version, `NAME@abcd` the newest one whose digest begins with abcd. Nothing is ever
overwritten.

The names of shipped weights win and cannot be registered, so no name means two things. Weights are
used from a local copy, which is named by its digest and checked against it each time.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from demoire.errors import UsageError, WeightsError
from demoire.models.weights import Model, Weights, find_weights, shipped_weights
from pipelines.names import shown
from pipelines.storage.open import open_place
from pipelines.storage.place import Place

REGISTRY = "DEMOIRE_REGISTRY"  # environment: folder or URL of the registry

# The figure by which versions of a model are compared.
SCORES: dict[Model, str] = {"restorer": "gain", "detector": "auc"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"\d{6,}\.json")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Registered:
    """One version of a name, as its JSON holds it."""

    name: str
    number: int  # 1, 2, 3...; 0 for weights that are shipped
    digest: str  # sha256 of the weights file, 64 hex digits
    model: Model
    architecture: str
    structure: dict[str, Any]  # of the network
    training: dict[str, Any]  # the configuration it was trained by
    figures: dict[str, Any]  # on pairs that it was not trained on; {} of what is shipped
    registered_at: str  # UTC, ISO 8601

    @property
    def score(self) -> float | None:
        """The figure by which versions are compared, on the pairs that it was registered with."""
        score: float | None = self.figures.get(SCORES[self.model])
        return score

    @property
    def file(self) -> str:
        """Path of the weights in the registry."""
        return f"{self.name}/{_weights_name(self.digest)}"

    @property
    def reference(self) -> str:
        """What names this very version."""
        return f"{self.name}@{self.digest[:12]}"


_RECORD = TypeAdapter(Registered)


class Registry:
    """The registry in a folder or bucket. Every call may raise StorageError."""

    def __init__(self, uri: str | None = None) -> None:
        """Name the registry; nothing is read yet.

        Args:
            uri: A local path or URL; None means that of DEMOIRE_REGISTRY, else a folder of this
                user's own.

        Raises:
            UsageError: The URL is of a kind that is not known, or holds credentials.
        """
        own = _user_folder("XDG_DATA_HOME", ".local/share", "registry")
        self._place = open_place(uri or os.environ.get(REGISTRY) or own)

    @property
    def uri(self) -> str:
        """Where it is, for messages."""
        return self._place.full()

    def names(self) -> list[str]:
        """All names that have a folder, in order."""
        entries = self._place.list(recursive=False)
        return sorted(entry.name for entry in entries if entry.kind == "folder")

    def versions(self, name: str) -> list[Registered]:
        """All versions of a name, the newest last; none where there is no such name."""
        return [_read_version(self._place, path) for path in _version_paths(self._place, name)]

    def newest(self, name: str) -> Registered | None:
        """The newest version of a name, if there is any."""
        paths = _version_paths(self._place, name)
        return _read_version(self._place, paths[-1]) if paths else None

    def find(self, reference: str) -> Registered:
        """The version that NAME or NAME@DIGEST-PREFIX means.

        Raises:
            WeightsError: There is none, or the prefix fits several.
        """
        name, _, prefix = reference.partition("@")
        if not prefix:
            newest = self.newest(name) if _NAME.fullmatch(name) else None
            if newest is None:
                known = ", ".join([*shipped_weights(), *self.names()])
                raise WeightsError(
                    f"There are no weights {shown(name)} in the registry {self.uri}; "
                    f"the names known here are {known}. "
                    "Weights files are given by --detector or --restorer."
                )
            return newest
        fitting = [version for version in self.versions(name) if version.digest.startswith(prefix)]
        if not fitting:
            raise WeightsError(
                f"The registry {self.uri} has no {shown(reference)}; "
                f"'demoire weights {shown(name)}' lists what it has."
            )
        if len({version.digest for version in fitting}) > 1:
            raise WeightsError(
                f"{shown(reference)} fits several versions; give more digits of the digest."
            )
        return fitting[-1]

    def fetch(self, version: Registered) -> Path:
        """The weights as a local file, checked against their digest.

        Raises:
            WeightsError: The registry's own file is not what was registered.
        """
        cache = _user_folder("XDG_CACHE_HOME", ".cache", "weights")
        local = Path(cache, _weights_name(version.digest))
        if not local.is_file() or sha256(local.read_bytes()).hexdigest() != version.digest:
            data = self._place.read(version.file)
            if sha256(data).hexdigest() != version.digest:
                raise WeightsError(
                    f"{self._place.full(version.file)} is not what was registered: "
                    "register the weights again, or choose another version."
                )
            open_place(cache).write(local.name, data)
        return local

    def check_name(self, name: str, model: Model) -> None:
        """Check that such a model can be registered under this name.

        Raises:
            UsageError: It cannot; the sentence says why.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{shown(name)} is no name for weights: "
                "use letters, digits, dots, dashes and underlines."
            )
        if name in shipped_weights():
            raise UsageError(
                f"{name} is the name of weights that are shipped: register under another one."
            )
        newest = self.newest(name)
        if newest is not None and newest.model != model:
            raise UsageError(
                f"{name} is a {newest.model} in {self.uri}: choose another name for a {model}."
            )

    def register(
        self,
        weights: Weights,
        name: str,
        *,
        after: Registered | None,
        training: Mapping[str, Any],
        figures: Mapping[str, Any],
    ) -> Registered | None:
        """Make these weights the newest version of a name.

        Args:
            weights: The weights, in a local file.
            name: The name to register them under.
            after: The version that was the newest when the weights were compared with it.
            training: The configuration they were trained by.
            figures: What they reach.

        Returns:
            The new version; None where `after` is not the newest one any more.

        Raises:
            UsageError: The name cannot be had.
        """
        self.check_name(name, weights.model)
        number = 1 + (after.number if after else 0)
        version = _new_version(weights, name, number, training, figures)
        if not self._place.exists(version.file):
            self._place.put_file(weights.path, version.file)
        record = json.dumps(asdict(version), indent=1, sort_keys=True) + "\n"
        created = self._place.create(f"{name}/{version.number:06d}.json", record.encode())
        return version if created else None


def _new_version(
    weights: Weights,
    name: str,
    number: int,
    training: Mapping[str, Any],
    figures: Mapping[str, Any],
) -> Registered:
    """What is registered of weights, as of now."""
    return Registered(
        name=name,
        number=number,
        digest=weights.digest,
        model=weights.model,
        architecture=weights.architecture,
        structure=dict(weights.config),
        training=dict(training),
        figures=dict(figures),
        registered_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _version_paths(place: Place, name: str) -> list[str]:
    """The records of all versions of a name, the newest last."""
    entries = place.list(name, recursive=False)
    paths = [entry.path for entry in entries if _VERSION.fullmatch(entry.name)]
    # A longer number is a higher one: beyond 999,999 the names are longer than six digits.
    return sorted(paths, key=lambda path: (len(path), path))


def _read_version(place: Place, path: str) -> Registered:
    """The record of one version. Raises WeightsError for one that cannot be this program's."""
    try:
        version = _RECORD.validate_json(place.read(path))
    except ValidationError as error:
        raise WeightsError(
            f"{place.full(path)} is no record of this version's: choose another."
        ) from error
    if not _DIGEST.fullmatch(version.digest) or version.name != path.partition("/")[0]:
        raise WeightsError(
            f"{place.full(path)} names weights that cannot be its own: choose another version."
        )
    return version


def score_text(model: Model, score: float | None) -> str:
    """The figure by which versions are compared, in words: a gain in dB, or an AUC."""
    if score is None:
        return "-"
    return f"{score:+.2f} dB" if model == "restorer" else f"AUC {score:.4f}"


def shipped() -> list[Registered]:
    """What is shipped, in the form of what is registered, but without figures.

    Figures in these files are of the training that their numbers came from. They were averaged, cut
    and calibrated since, and the model card says what they reach now.
    """
    return [_as_registered(find_weights(name)) for name in shipped_weights()]


def _as_registered(weights: Weights) -> Registered:
    return Registered(
        name=weights.name,
        number=0,
        digest=weights.digest,
        model=weights.model,
        architecture=weights.architecture,
        structure=weights.config,
        training={},
        figures={},
        registered_at="",
    )


def find_models(references: Sequence[str], registry: str | None = None) -> dict[Model, str]:
    """What a CleanerConfig takes for these names, by model.

    Args:
        references: Each NAME or NAME@DIGEST-PREFIX, at most one of each model.
        registry: As for `Registry`.

    Returns:
        A shipped name, or the path of a local copy, for each model that is named.

    Raises:
        WeightsError: A name is not known.
        UsageError: Two names are of the same model.
    """
    chosen: dict[Model, str] = {}
    for reference in references:
        model, weights = _find_model(reference, registry)
        if model in chosen:
            names = " and ".join(map(shown, references))
            raise UsageError(f"{names} name two of the model {model}: give one of each.")
        chosen[model] = weights
    return chosen


def _find_model(reference: str, registry: str | None) -> tuple[Model, str]:
    name, _, prefix = reference.partition("@")
    if name in shipped_weights():
        weights = find_weights(name)
        if not weights.digest.startswith(prefix):
            raise WeightsError(
                f"The shipped weights {name} are {weights.digest[:12]}, not {shown(prefix)}."
            )
        return weights.model, name
    registry_of_weights = Registry(registry)
    version = registry_of_weights.find(reference)
    return version.model, str(registry_of_weights.fetch(version))


def _weights_name(digest: str) -> str:
    return f"{digest}.safetensors"


def _user_folder(variable: str, default: str, name: str) -> str:
    """A folder of this user's, by the XDG Base Directory Specification."""
    return str(Path(os.environ.get(variable) or Path.home() / default, "demoire", name))
