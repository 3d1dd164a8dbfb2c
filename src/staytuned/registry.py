"""What is kept: models in numbered versions, each with where it came from, and which of them is in service."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import inspect
import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from staytuned.errors import NotFoundError, UntrustedModel, UsageError
from staytuned.protocols import Fact, Ledger

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "lightgbm")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lineage:
    """Where a version came from.

    Args:
        table: SHA-256 of the training table's Parquet bytes; the table itself where the ledger holds a blob of that name.
        rows: of that table.
        study: name of the study that found the config; None if there was none.
        config: the hyperparameters, as JSON.
        scores: by place ("validation", "test", "baseline"), each a number or numbers by metric.
        parent: the version it was made from; None for the first.
        code: staytuned's version.
        libraries: versions by distribution name.
        python: its version.
    """

    table: str = ""
    rows: int = 0
    study: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    parent: int | None = None
    code: str = field(default_factory=lambda: _version_of("staytuned"))
    libraries: Mapping[str, str] = field(default_factory=lambda: {name: _version_of(name) for name in LIBRARIES})
    python: str = field(default_factory=platform.python_version)


@dataclass(frozen=True)
class Version:
    """One version of a model: a record; :meth:`Registry.load` gives the model itself.

    Args:
        model: the model's name.
        number: 1, 2, 3, ...
        created: Unix time in seconds.
        digest: SHA-256 of the stored model.
        format: "skops" (loading it runs no foreign code) or "pickle".
        lineage: where it came from.
        manifest: what its users need to know, as JSON: columns, task, metric, classes, what the monitor compares with.
        reason: why it was made.
    """

    model: str
    number: int
    created: float
    digest: str
    format: str
    lineage: Lineage
    manifest: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Event:
    """A line of a model's story.

    Args:
        at: Unix time in seconds.
        kind: a word: registered, promoted, rolled back, watched, decided, ...
        sentence: what happened and why.
    """

    at: float
    kind: str
    sentence: str


class Registry:
    """Models by name, in a ledger. It remembers nothing itself; every answer is read from the ledger.

    >>> from staytuned.store.memory import MemoryLedger
    >>> from sklearn.linear_model import LinearRegression
    >>> registry = Registry(MemoryLedger())
    >>> first = registry.register("house", LinearRegression(), lineage=Lineage(rows=100), manifest={"task": "regression"}, reason="tuned")
    >>> registry.champion("house").number, registry.load(first)
    (1, LinearRegression())
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def register(self, name: str, model: Any, *, lineage: Lineage, manifest: Mapping[str, Any], reason: str) -> Version:
        """Keep a model as the next version of ``name``; the first of a name goes into service at once.

        It is stored with skops, which loads without running foreign code, if every type in it is vouched for, and with cloudpickle otherwise.

        Raises:
            UsageError: an empty name, one with a slash, or a manifest that is no JSON.
        """
        if not name or "/" in name:
            raise UsageError(f"model name {name!r} must be a text without '/'")
        form, blob = _stored(model)
        body = {"digest": self.ledger.put(blob), "format": form, "lineage": asdict(lineage), "manifest": dict(manifest), "reason": reason}
        while True:
            number = 1 + len(self.ledger.read(_stream(name), kind="registered"))
            sentence = f"version {number} was made from {lineage.rows:,} rows: {reason}"
            facts = [Fact(_stream(name), "registered", {"number": number, "sentence": sentence, **body}, key=f"registered/{number}")]
            if number == 1:
                facts.append(_staged("promoted", name, 1, None, f"version 1 went into service: {reason}", {}, 0))
            if self.ledger.append(facts)[0]:  # otherwise another process took the number
                return self.version(name, number)

    def names(self) -> tuple[str, ...]:
        """All models, in alphabetical order."""
        return tuple(sorted({fact.stream.removeprefix("model/") for fact in self.ledger.read("model/", kind="registered")}))

    def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, oldest first.

        Raises:
            NotFoundError: no model of that name.
        """
        facts = self.ledger.read(_stream(name), kind="registered") if name else []
        if not facts:
            raise NotFoundError(f"no model named {name!r}{_instead(name, self.names())}")
        return tuple(_version(name, fact) for fact in facts)

    def version(self, name: str, number: int | None = None) -> Version:
        """One version; the champion if no number is given.

        Raises:
            NotFoundError: no such model or version.
        """
        versions = self.versions(name)
        number = self._reign(name)[-1] if number is None else number
        if not 1 <= number <= len(versions):
            raise NotFoundError(f"model {name!r} has no version {number}; it has {'1' if len(versions) == 1 else f'1 to {len(versions)}'}")
        return versions[number - 1]

    def champion(self, name: str) -> Version:
        """The version in service.

        Raises:
            NotFoundError: no such model.
        """
        return self.version(name)

    def since(self, name: str) -> int:
        """The id of the fact that put the present champion into service."""
        return self._stages(name)[-1].id

    def promote(self, name: str, number: int, reason: str, evidence: Mapping[str, Any] | None = None) -> Version:
        """Put a version into service; nothing changes if it is there already.

        Raises:
            NotFoundError: no such model or version.
        """
        version = self.version(name, number)
        self._put_in_service("promoted", version, f"version {number} was promoted: {reason}", evidence or {})
        return version

    def roll_back(self, name: str, reason: str, evidence: Mapping[str, Any] | None = None) -> Version:
        """Put the previous champion back into service.

        Raises:
            NotFoundError: no such model, or there was no champion before this one.
        """
        champion, reign = self.champion(name), self._reign(name)
        if len(reign) < 2:
            raise NotFoundError(f"model {name!r} cannot be rolled back: version {champion.number} has had no predecessor in service")
        version = self.version(name, reign[-2])
        self._put_in_service("rolled back", version, f"rolled back from version {champion.number} to version {version.number}: {reason}", evidence or {})
        return version

    def predecessor(self, name: str) -> Version | None:
        """The champion before this one, to which :meth:`roll_back` returns; None if there was none."""
        reign = self._reign(name)
        return self.version(name, reign[-2]) if len(reign) > 1 else None

    def load(self, version: Version, *, trust_pickle: bool = False) -> Any:
        """The model itself. Libraries in other versions than it was made with are logged as a warning; see :func:`library_changes`.

        Args:
            trust_pickle: also load a pickle, which can run any code its maker chose.

        Raises:
            UntrustedModel: it is a pickle, or holds types that are not vouched for.
            BlobMissing: the stored bytes are gone or have changed.
        """
        named = f"version {version.number} of {version.model!r}"
        if version.format != "skops" and not trust_pickle:
            raise UntrustedModel(f"{named} is stored as a pickle, and loading it can run any code; if you trust who made it, pass trust_pickle=True")
        blob = self.ledger.get(version.digest)
        for change in library_changes(version):
            _log.warning("%s: %s", named, change)
        if version.format == "skops":
            return _from_skops(blob, named)
        import cloudpickle

        return cloudpickle.loads(blob)

    def export(self, version: Version, folder: str | Path) -> tuple[Path, Path]:
        """Write the stored model (model.skops or model.pkl) and its manifest (model.json) into a folder, made if need be; their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / ("model.skops" if version.format == "skops" else "model.pkl")
        model.write_bytes(self.ledger.get(version.digest))
        manifest = folder / "model.json"
        manifest.write_text(json.dumps(asdict(version), indent=2) + "\n", encoding="utf-8")
        return model, manifest

    def story(self, name: str) -> tuple[Event, ...]:
        """What happened to a model and why, oldest first: its versions, and what its steward saw and decided. What is said again in the same
        words is told once.

        Raises:
            NotFoundError: no such model.
        """
        self.versions(name)
        facts = sorted((*self.ledger.read(_stream(name)), *self.ledger.read(f"steward/{name}")), key=lambda fact: fact.id)
        told: list[Event] = []
        last: dict[str, str] = {}
        for fact in facts:
            sentence = fact.body.get("sentence")
            if sentence and last.get(fact.kind) != sentence:
                told.append(Event(fact.at, fact.kind, sentence))
                last[fact.kind] = sentence
        return tuple(told)

    def _put_in_service(self, kind: str, version: Version, sentence: str, evidence: Mapping[str, Any]) -> None:
        while (champion := self.champion(version.model)).number != version.number:
            staged = _staged(kind, version.model, version.number, champion.number, sentence, evidence, len(self._stages(version.model)))
            self.ledger.append([staged])

    def _stages(self, name: str) -> list[Fact]:
        return [fact for fact in self.ledger.read(_stream(name)) if fact.kind in ("promoted", "rolled back")]

    def _reign(self, name: str) -> list[int]:
        """The line of champions, the present one last; who was rolled back from is out of it."""
        reign: list[int] = []
        for fact in self._stages(name):
            reign = reign[:-1] if fact.kind == "rolled back" else [*reign, fact.body["version"]]
        return reign


def library_changes(version: Version) -> tuple[str, ...]:
    """Which libraries have other versions here than where the model was made, a sentence each."""
    here = {name: _version_of(name) for name in version.lineage.libraries}
    moved = [(name, made, here[name]) for name, made in version.lineage.libraries.items() if made != here[name]]
    return tuple(f"made with {name} {made}, loaded with {now or 'none'}; check a few predictions" for name, made, now in moved)


def _stream(name: str) -> str:
    return f"model/{name}"


def _staged(kind: str, name: str, number: int, before: int | None, sentence: str, evidence: Mapping[str, Any], stage: int) -> Fact:
    """Who enters service; numbered, so that of two processes that see the same champion only one replaces it."""
    body = {"version": number, "instead_of": before, "sentence": sentence, "evidence": dict(evidence)}
    return Fact(_stream(name), kind, body, key=f"stage/{stage}")


def _version(name: str, fact: Fact) -> Version:
    body = fact.body
    return Version(name, body["number"], fact.at, body["digest"], body["format"], Lineage(**body["lineage"]), body["manifest"], body["reason"])


def _instead(name: str, names: Sequence[str]) -> str:
    if not names:
        return "; there are no models in this ledger yet"
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    return f"; did you mean {close[0]!r}? there are {shown}" if close else f"; there are {shown}"


def _version_of(distribution: str) -> str:
    return _looked_up(distribution)


@cache
def _looked_up(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


# Storing without pickle. Whole libraries are not vouched for, only their classes, and of our own and scikit-learn's the functions too:
# a stored reference to a function such as pandas.read_pickle would otherwise be a door.
_CLASSES_OF = ("sklearn", "lightgbm", "numpy", "scipy", "staytuned")
_FUNCTIONS_OF = ("sklearn", "staytuned")
_PLAIN = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict", "builtins.list", "builtins.set", "builtins.frozenset", "builtins.tuple",
          "builtins.int", "builtins.float", "builtins.str", "builtins.bool", "builtins.bytes", "builtins.slice", "builtins.complex")  # fmt: skip


def _stored(model: Any) -> tuple[str, bytes]:
    """(format, bytes): skops if what comes back is vouched for, otherwise cloudpickle."""
    import cloudpickle
    import skops.io

    try:
        blob = skops.io.dumps(model)
        _from_skops(blob, "the model")
    except Exception as problem:  # skops refuses in many ways, depending on where it meets what it cannot hold
        _log.info("%s cannot be stored without pickle: %s", type(model).__name__, problem)
        return "pickle", cloudpickle.dumps(model)
    return "skops", blob


def _from_skops(blob: bytes, named: str) -> Any:
    import skops.io

    types = skops.io.get_untrusted_types(data=blob)
    strange = [name for name in types if not _vouched(name)]
    if strange:
        raise UntrustedModel(f"{named} holds {', '.join(strange)}, which nobody vouches for; it is not loaded")
    return skops.io.loads(blob, trusted=types)


def _vouched(name: str) -> bool:
    if name in _PLAIN:
        return True
    module, _, attribute = name.rpartition(".")
    package = module.partition(".")[0]
    if package not in _CLASSES_OF:
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return inspect.isclass(found) or (package in _FUNCTIONS_OF and inspect.isroutine(found))
