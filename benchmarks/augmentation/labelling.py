"""What a classifier is to find: all superclasses and statements at once, or one label against another."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmarks.augmentation.data import Ecgs
from models.superclasses import SUPERCLASSES

SUPERCLASS_GROUP: Final = "superclasses"
STATEMENT_GROUP: Final = "statements"
BUNDLE_BRANCH_BLOCKS: Final = ("CRBBB", "IRBBB", "CLBBB", "ILBBB")


class Labelling(BaseModel):
    """The labels of one task.

    Attributes:
        name: of the task.
        kind: `all` for superclasses and statements, `statements` for one group of statements against another, `sex`.
        statements: those asked for beside the superclasses, in `all`.
        positive: statements that make an ECG positive.
        negative: statements that make it negative; none for every ECG without one of `excluded`.
        excluded: statements whose ECGs are left out unless they are positive.
        ratio: negatives per positive of the training set; 0 for as many as there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["all", "statements", "sex"] = "all"
    statements: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    ratio: int = 0

    @property
    def groups(self) -> dict[str, slice]:
        """Group of outputs to its columns; metrics are means over a group."""
        if self.kind != "all":
            return {self.name: slice(0, 1)}
        first = len(SUPERCLASSES)
        groups = {SUPERCLASS_GROUP: slice(0, first)}
        return {**groups, STATEMENT_GROUP: slice(first, first + len(self.statements))} if self.statements else groups

    def of(self, ecgs: Ecgs) -> np.ndarray:
        """(n, outputs) float32: 1, 0, or NaN where the ECG says nothing about the label.

        An ECG without any superclass says nothing about superclasses, as in the PTB-XL benchmark (Strodthoff et al.,
        IEEE JBHI 25:1519-1528, 2021).
        """
        if self.kind == "sex":
            return ecgs.female[:, None].astype(np.float32)
        if self.kind == "statements":
            positive = ecgs.has(self.positive)
            negative = ecgs.has(self.negative) if self.negative else ~ecgs.has(self.excluded)
            return np.where(positive, 1.0, np.where(negative, 0.0, np.nan)).astype(np.float32)[:, None]
        superclasses = np.where(ecgs.superclasses.any(axis=1, keepdims=True), ecgs.superclasses, np.nan)
        statements = [ecgs.has([code]) for code in self.statements]
        return np.column_stack([superclasses, *statements]).astype(np.float32)


def statements_with(ecgs: Ecgs, positives: int) -> tuple[str, ...]:
    """Statements that at least so many ECGs have, in the order of the columns."""
    counts = ecgs.statements.sum(axis=0)
    return tuple(code for code, count in zip(ecgs.codes, counts.tolist(), strict=True) if count >= positives)


def all_labels(statements: tuple[str, ...]) -> Labelling:
    """The main task."""
    return Labelling(name="all labels", statements=statements)


def imbalanced_tasks(ratios: tuple[int, ...]) -> list[Labelling]:
    """Tasks with a rare and a frequent side, as in SE-Diff's downstream tests (arXiv 2511.09895)."""
    sinus = ("SR", "SBRAD", "STACH", "SARRH")
    found = []
    for ratio in ratios:
        for name, positive, negative, excluded in (
            ("AF against sinus rhythm", ("AFIB",), sinus, ()),
            ("RBBB against neither block", ("CRBBB",), (), BUNDLE_BRANCH_BLOCKS),
            ("LBBB against neither block", ("CLBBB",), (), BUNDLE_BRANCH_BLOCKS),
            ("SVT against sinus rhythm", ("SVTAC", "PSVT"), sinus, ()),
        ):
            found.append(
                Labelling(
                    name=f"{name}, 1:{ratio}",
                    kind="statements",
                    positive=positive,
                    negative=negative,
                    excluded=excluded,
                    ratio=ratio,
                )
            )
        found.append(Labelling(name=f"female against male, 1:{ratio}", kind="sex", ratio=ratio))
    return found
