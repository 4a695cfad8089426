"""Populations that references, windows and streams are drawn from.

Each data set's rows within scope are dealt in two by one fixed draw: a head is trained on one part,
the other is the population, so that what a reference and a window see is alike. The head is a
logistic regression on the embeddings (scikit-learn): a stand-in for an adapter's head, with real
texts, real mistakes and probabilities that mean something.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bundles import cache_folder
from benchmarks.monitoring.embedding import Texts, embedded_or_skip
from benchmarks.rounds import show
from monitoring.rows import HalfArray, IntArray

CLINC, BANKING, POLARITY = "clinc150", "banking77", "polarity_movie_to_product"
_HEAD_SHARE = 0.4
_SEED = 20260301

Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Population:
    """Rows and what the head answers to them; no row was seen in training."""

    name: str
    labels: tuple[str, ...]
    embeddings: HalfArray  # [n, hidden]
    probabilities: HalfArray  # [n, classes]
    class_index: IntArray  # [n], predicted
    label_index: IntArray  # [n], true; -1 where it is none of the head's
    domain: NDArray[np.str_]  # [n]

    def __len__(self) -> int:
        return len(self.class_index)

    def taken(self, rows: IntArray) -> "Population":
        """Return some of its rows."""
        return Population(
            self.name,
            self.labels,
            self.embeddings[rows],
            self.probabilities[rows],
            self.class_index[rows],
            self.label_index[rows],
            self.domain[rows],
        )


@dataclass(frozen=True, slots=True)
class Shift:
    """A population, and rows of another kind that come in its place when it drifts."""

    name: str
    usual: Population
    other: Population


def populations() -> list[Population]:
    """Return the populations within scope of the three data sets; or end, with the reason."""
    texts = embedded_or_skip(CLINC, BANKING, POLARITY)
    return [_population(each, _is_usual(each))[0] for each in texts]


def shifts() -> list[Shift]:
    """Return natural shifts: out-of-scope texts, other domains, another trade's reviews."""
    clinc, polarity = embedded_or_skip(CLINC, POLARITY)
    found = []
    usual, rest = _population(clinc, _is_usual(clinc))
    found.append(Shift("CLINC150, out of scope", usual, rest))
    for domain, other in (("banking", "credit_cards"), ("travel", "auto_and_commute")):
        mine, _ = _population(clinc, clinc.domain == domain)
        theirs = np.flatnonzero((clinc.domain == other) & ~clinc.outside)
        foreign = _answered(clinc, clinc.domain == domain, theirs)
        found.append(Shift(f"CLINC150, {domain} to {other}", mine, foreign))
    usual, rest = _population(polarity, _is_usual(polarity))
    found.append(Shift("film to product reviews", usual, rest))
    return found


def domains() -> Population:
    """Return CLINC150 within scope, its 10 domains taken for classes; or end, with the reason."""
    [clinc] = embedded_or_skip(CLINC)
    texts = Texts(clinc.name, clinc.embeddings, clinc.domain, clinc.domain, clinc.outside)
    return _population(texts, _is_usual(texts))[0]


def _is_usual(texts: Texts) -> Truths:
    if texts.name == POLARITY:
        return np.asarray(np.char.startswith(texts.domain, "movie"), dtype=np.bool_)
    return ~texts.outside


def _population(texts: Texts, usual: Truths) -> tuple[Population, Population]:
    """Return the part of the usual rows that no head was trained on, and the unusual rows."""
    _, population = _dealt(usual)
    return _answered(texts, usual, population), _answered(texts, usual, np.flatnonzero(~usual))


def _dealt(usual: Truths) -> tuple[IntArray, IntArray]:
    """Return the rows that a head is trained on, and the others of the usual ones."""
    rows = np.random.default_rng(_SEED).permutation(np.flatnonzero(usual))
    trained = round(_HEAD_SHARE * len(rows))
    return rows[:trained], rows[trained:]


def _answered(texts: Texts, usual: Truths, rows: IntArray) -> Population:
    labels = tuple(sorted(set(texts.label[usual].tolist())))
    numbers = {label: number for number, label in enumerate(labels)}
    probabilities = _head(texts, usual, labels)[rows]
    return Population(
        name=texts.name,
        labels=labels,
        embeddings=texts.embeddings[rows],
        probabilities=probabilities,
        class_index=probabilities.argmax(axis=1).astype(np.int64),
        label_index=np.array([numbers.get(label, -1) for label in texts.label[rows].tolist()]),
        domain=texts.domain[rows],
    )


def _head(texts: Texts, usual: Truths, labels: tuple[str, ...]) -> HalfArray:
    """Return what a head that was trained on the usual rows answers to all, [n, classes]."""
    kept = _cached(texts, usual)
    if kept.is_file():
        probabilities: HalfArray = np.load(kept, allow_pickle=False)
        return probabilities
    from sklearn.linear_model import LogisticRegression

    trained, _ = _dealt(usual)
    show(f"training a head of {len(labels)} classes on {len(trained)} rows of {texts.name}")
    head = LogisticRegression(C=10.0, max_iter=1000)
    head.fit(texts.embeddings[trained].astype(np.float32), texts.label[trained])
    assert tuple(head.classes_) == labels, "every class is trained on"
    probabilities = head.predict_proba(texts.embeddings.astype(np.float32)).astype(np.float16)
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.save(kept, probabilities)
    return probabilities


def _cached(texts: Texts, usual: Truths) -> Path:
    state = hashlib.sha256(texts.embeddings.tobytes() + usual.tobytes() + texts.label.tobytes())
    return cache_folder() / "monitoring" / f"head-{texts.name}-{state.hexdigest()[:12]}.npy"
