"""The condition of an ECG: what a training recording shows, and what a request for a synthetic one asks for.

The text of a condition is always English written from its SCP-ECG statements, their likelihoods and coded views
(`Condition.written`), in training as in generation. A recording's report is never used as it is written: it may name
people, places and dates, and in PTB-XL it is largely German, which the English embedding model does not understand.
What it says beside the statements is read into phrases of a fixed table (`tasks.conditions.report_findings`), which are
a text of their own. Nor are a request's own words used: the model is blind to their negations.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from models.measured_features import MEASURED
from models.superclasses import SUPERCLASSES
from tasks.conditions.coded_views import CodedViews, admission_codes, certainty, coded_views
from tasks.conditions.report_findings import findings_of
from tasks.conditions.stated_rhythm import stated_rhythm
from tasks.knowledge.demographics import age_band
from tasks.knowledge.retrieval import Admission, KnowledgeIndex, Request
from tasks.settings import RetrievalSettings
from warehouse.schema import EMBEDDING_SIZE
from warehouse.statements import statements as vocabulary

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from models.conditioning import ConditionTensors

StatementFacts = Mapping[str, Mapping[str, Any]]
"""Statement code to its description, superclass and kind, as the manifest of `recordings` lists them."""

SEX_NUMBER: Final = {"male": 0.0, "female": 1.0}
OLDEST_AGE: Final = 90.0
"""Stands for every age above 89 years, as in the recordings."""
RHYTHM_PRIORITY: Final = (
    "atrial fibrillation",
    "ectopic beats",
    "sinus arrhythmia",
    "sinus bradycardia",
    "sinus tachycardia",
)
"""Of the rhythms that statements imply (of `models.simulator.rhythm_series.RHYTHMS`), the first one decides."""
PRIORITY: Final = ("diagnostic", "rhythm", "form")
"""Kinds of statement, the one that says most about an ECG first."""


SUPERCLASS_WORDS: Final = {
    "NORM": "normal ECG",
    "MI": "myocardial infarction",
    "STTC": "ST/T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
}
"""Superclass to the words that ask for it where no statement does."""
COHORT_VIEWS: Final = ("heart_axis", "infarction_stage", "extra_beats", "pacemaker")
"""Coded views that cohorts hold in a column each."""


@dataclass(frozen=True)
class Condition:
    """What an ECG is to show. Anything may be missing.

    Attributes:
        text: report in English; where it is empty the embedder writes it from the statements.
        statements: SCP-ECG codes, most important first.
        age_years: age in years; 90 stands for older than 89.
        sex: "female" or "male".
        heart_rate_bpm: heart rate in beats per minute.
        likelihoods: of each statement, in percent, None where unknown; empty where all are.
        heart_axis, infarction_stage, extra_beats, pacemaker: as in `tasks.conditions.coded_views.CodedViews`.
        superclasses: diagnostic superclasses asked for beside those of the statements.
        admission: codes of the admission that a recording is of, by which knowledge is found; no request has any.
        findings: what a report says beside all this, phrases of `tasks.conditions.report_findings`.
    """

    text: str
    statements: tuple[str, ...]
    age_years: float | None
    sex: str | None
    heart_rate_bpm: float | None
    likelihoods: tuple[float | None, ...] = ()
    heart_axis: str | None = None
    infarction_stage: str | None = None
    extra_beats: str | None = None
    pacemaker: bool | None = None
    superclasses: tuple[str, ...] = ()
    admission: Admission = ()
    findings: tuple[str, ...] = ()

    def all_superclasses(self, statement_facts: StatementFacts) -> list[str]:
        """Every diagnostic superclass asked for, in the order of `SUPERCLASSES`."""
        held = {*self.superclasses, *superclasses_of(self.statements, statement_facts)}
        return [name for name in SUPERCLASSES if name in held]

    def phrases(self, statement_facts: StatementFacts) -> list[str]:
        """Everything but age, sex, heart rate and findings in words, most important first."""
        likelihood = dict(zip(self.statements, self.likelihoods, strict=bool(self.likelihoods)))
        stated = [
            f"{certainty(likelihood.get(code))} {describe(code, statement_facts)}".strip()
            for code in by_importance(self.statements, statement_facts)
        ]
        views = CodedViews(self.heart_axis, self.infarction_stage, self.extra_beats, self.pacemaker)
        return [SUPERCLASS_WORDS[name] for name in self.superclasses] + stated + views.words()

    def written(self, statement_facts: StatementFacts) -> Condition:
        """This condition with the text that its other fields say.

        "probable left ventricular hypertrophy, sinus rhythm, left axis deviation".
        """
        return replace(self, text=", ".join(self.phrases(statement_facts)))


def conditions_of(
    recordings: pa.Table,
    statement_facts: StatementFacts | None = None,
    findings: Collection[str] | None = None,
) -> list[Condition]:
    """The condition that each recording is an example of, in row order.

    Args:
        recordings: needs the columns statements, age_years, sex and heart_rate_bpm; coded_views and reports (text),
            where there are any.
        statement_facts: renders the text and puts the statements in order of importance; without it the text stays
            empty, the statements are in order of likelihood, and `ConditionEmbedder` does the rest.
        findings: those of reports that count, such as a model has learned (`ModelConfig.findings`); None for all.
    """
    needed = ["statements", "age_years", "sex", "heart_rate_bpm"]
    optional = [name for name in ("coded_views", "text") if name in recordings.column_names]
    conditions = []
    for row in recordings.select([*needed, *optional]).to_pylist():
        likely_first = sorted(row["statements"] or [], key=lambda statement: -(statement["likelihood"] or 0.0))
        # A likelihood of 0 means that it is unknown.
        likelihood = {one["code"]: one["likelihood"] or None for one in reversed(likely_first)}
        codes = tuple(dict.fromkeys(statement["code"] for statement in likely_first))
        if statement_facts is not None:
            codes = by_importance(codes, statement_facts)
        condition = Condition(
            text="",
            statements=codes,
            age_years=_known(row["age_years"]),
            sex=row["sex"],
            heart_rate_bpm=_known(row["heart_rate_bpm"]),
            likelihoods=tuple(likelihood[code] for code in codes),
            admission=admission_codes(row.get("coded_views")),
            **asdict(coded_views(row.get("coded_views"))),
            findings=tuple(one for one in findings_of(row.get("text") or "") if findings is None or one in findings),
        )
        conditions.append(condition if statement_facts is None else condition.written(statement_facts))
    return conditions


def conditions_asked(cohort: pa.Table, statement_facts: StatementFacts) -> list[Condition]:
    """The condition that each row of `cohorts` was generated for, without its text, in row order."""
    names = ["statements", "superclasses", "age_years", "sex", "target_heart_rate_bpm", "likelihoods", "findings"]
    return [
        Condition(
            text="",
            statements=tuple(row["statements"] or ()),
            age_years=row["age_years"],
            sex=row["sex"],
            heart_rate_bpm=row["target_heart_rate_bpm"],
            likelihoods=tuple(row["likelihoods"] or ()),
            **{name: row[name] for name in COHORT_VIEWS},
            superclasses=without_statement(row["superclasses"] or (), row["statements"] or (), statement_facts),
            findings=tuple(row["findings"] or ()),
        )
        for row in cohort.select([*names, *COHORT_VIEWS]).to_pylist()
    ]


def by_importance(codes: Sequence[str], statement_facts: StatementFacts) -> tuple[str, ...]:
    """Statements with diagnoses first, then rhythms, then forms; otherwise in the order given, without repeats."""

    def rank(code: str) -> int:
        kind = statement_facts.get(code, {}).get("kind")
        return PRIORITY.index(kind) if kind in PRIORITY else len(PRIORITY)

    return tuple(sorted(dict.fromkeys(codes), key=rank))


def superclasses_of(statements: Iterable[str], statement_facts: StatementFacts) -> list[str]:
    """Diagnostic superclasses of statements, without repeats, in the order of `SUPERCLASSES`."""
    held = {statement_facts.get(code, {}).get("superclass") for code in statements}
    return [name for name in SUPERCLASSES if name in held]


def without_statement(
    superclasses: Iterable[str], statements: Iterable[str], statement_facts: StatementFacts
) -> tuple[str, ...]:
    """Of superclasses, those that no statement has."""
    stated = superclasses_of(statements, statement_facts)
    return tuple(name for name in superclasses if name not in stated)


def describe(code: str, statement_facts: StatementFacts) -> str:
    """A statement in words; the code itself where the source does not describe it."""
    return str(statement_facts.get(code, {}).get("description") or code)


def rhythm_of(statements: Sequence[str]) -> str:
    """The rhythm that statements imply; regular sinus rhythm where they say nothing of it."""
    known = vocabulary().by_code
    implied = {known[code].rhythm for code in vocabulary().with_broader(statements) if code in known}
    return next((rhythm for rhythm in RHYTHM_PRIORITY if rhythm in implied), "sinus")


class ConditionEmbedder:
    """Turns conditions into the tensors that the model reads, retrieving knowledge on the way.

    Every distinct text is embedded once in the embedder's life.

    Args:
        embeddings: embeds texts: `tasks.knowledge.embeddings.local_embeddings()`, or what a warehouse keeps of it.
        knowledge: the `knowledge` table, or None for none.
        statement_facts: description and kind of each statement.
        statement_tokens: S, statements and coded views per condition; the less important ones beyond it are left to the
            text.
        knowledge_tokens: K, entries per condition.
        retrieval: how many entries are retrieved, and by which weights.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        knowledge: pa.Table | None,
        statement_facts: StatementFacts,
        statement_tokens: int,
        knowledge_tokens: int,
        retrieval: RetrievalSettings,
    ) -> None:
        self.embeddings = embeddings
        self.index = KnowledgeIndex.from_table(knowledge)
        self.statement_facts = statement_facts
        self.statement_tokens, self.knowledge_tokens = statement_tokens, knowledge_tokens
        self.retrieval = retrieval
        self._known: dict[str, np.ndarray] = {}

    def texts(self, conditions: Sequence[Condition]) -> list[str]:
        """Every distinct text that conditions need embedded, sorted."""
        needed = {self._text(one) for one in conditions} - {""}
        for one in conditions:
            needed.update(one.phrases(self.statement_facts)[: self.statement_tokens])
        return sorted(needed | ({", ".join(one.findings) for one in conditions} - {""}))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(n, 384) embeddings of texts, length 1 each."""
        new = sorted(set(texts) - self._known.keys())
        if new:
            vectors = np.array(self.embeddings.embed_documents(new), dtype=np.float32)
            self._known.update(zip(new, vectors, strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else np.zeros((0, EMBEDDING_SIZE), np.float32)

    def retrieve(self, conditions: Sequence[Condition]) -> np.ndarray:
        """(n, at most K) row numbers of the knowledge entries that fit each condition, best first."""
        requests = [
            Request(self._text(one), frozenset(one.statements), one.sex, age_band(one.age_years), one.admission)
            for one in conditions
        ]
        top_k = min(self.knowledge_tokens, self.retrieval.top_k)
        return self.index.retrieve(requests, self.embed, self.retrieval.weights, top_k)

    def __call__(self, conditions: Sequence[Condition]) -> tuple[ConditionTensors, list[list[str]]]:
        """Embed conditions.

        Returns:
            Their tensors (texts, statements, entries and findings as embeddings; years, 0 male or 1 female, bpm; what
            patients like those of the entries measure; what is missing marked absent; the rhythm and premature beats
            that statements and coded views imply), and the ids of the entries retrieved for each, best first.
        """
        import torch

        from models.conditioning import ConditionTensors
        from models.simulator.rhythm_series import RHYTHMS

        rows, statements, entries = len(conditions), self.statement_tokens, self.knowledge_tokens
        text = np.zeros((rows, EMBEDDING_SIZE), np.float32)
        stated = np.zeros((rows, statements, EMBEDDING_SIZE), np.float32)
        known = np.zeros((rows, entries, EMBEDDING_SIZE), np.float32)
        findings = np.zeros((rows, EMBEDDING_SIZE), np.float32)
        quartiles = np.zeros((rows, entries, len(MEASURED), 3), np.float32)
        measured = np.zeros((rows, entries, len(MEASURED)), dtype=bool)
        numbers = np.zeros((rows, 3), np.float32)
        present = np.zeros((rows, 1 + statements + entries + 3), dtype=bool)

        self.embed(self.texts(conditions))  # all at once: each call of the language model costs time of its own
        for row, condition in enumerate(conditions):
            if words := self._text(condition):
                text[row], present[row, 0] = self.embed([words])[0], True
            if phrases := condition.phrases(self.statement_facts)[:statements]:
                stated[row, : len(phrases)] = self.embed(phrases)
                present[row, 1 : 1 + len(phrases)] = True
            if condition.findings:
                findings[row] = self.embed([", ".join(condition.findings)])[0]
            for place, number in enumerate(self._numbers(condition)):
                if number is not None:
                    numbers[row, place], present[row, 1 + statements + entries + place] = number, True

        found = self.retrieve(conditions)
        known[:, : found.shape[1]] = self.index.embeddings[found]
        quartiles[:, : found.shape[1]] = self.index.quartiles[found]
        measured[:, : found.shape[1]] = self.index.measured[found]
        present[:, 1 + statements : 1 + statements + found.shape[1]] = True
        tensors = ConditionTensors(
            text=torch.from_numpy(text),
            statements=torch.from_numpy(stated),
            knowledge=torch.from_numpy(known),
            numbers=torch.from_numpy(numbers),
            present=torch.from_numpy(present),
            rhythm=torch.tensor([RHYTHMS.index(rhythm_of(one.statements)) for one in conditions], dtype=torch.int64),
            stated_rhythm=torch.tensor([_rhythm(one) for one in conditions]).long().view(-1, 2),
            findings=torch.from_numpy(findings),
            quartiles=torch.from_numpy(quartiles),
            measured=torch.from_numpy(measured),
        )
        return tensors, [[self.index.entry_ids[entry] for entry in row] for row in found]

    def _text(self, condition: Condition) -> str:
        return condition.text or condition.written(self.statement_facts).text

    @staticmethod
    def _numbers(condition: Condition) -> tuple[float | None, float | None, float | None]:
        age = None if condition.age_years is None else min(condition.age_years, OLDEST_AGE)
        return age, SEX_NUMBER.get(condition.sex or ""), condition.heart_rate_bpm


def _rhythm(condition: Condition) -> tuple[int, int]:
    return stated_rhythm(condition.statements, bool(condition.pacemaker), condition.extra_beats)


def _known(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else number
