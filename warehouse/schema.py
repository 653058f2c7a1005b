"""Arrow schemas of every table, each column with its unit and meaning.

`docs/data-dictionary.md` is written from these descriptions (`python -m warehouse.catalog.data_dictionary`); a test
compares them.
"""

from __future__ import annotations

import pyarrow as pa

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS, lead_column

MICROVOLTS_PER_MILLIVOLT = 1000.0
EMBEDDING_SIZE = 384
"""Numbers in a text embedding (MiniLM)."""


def column(name: str, type_: pa.DataType, description: str, unit: str = "", nullable: bool = True) -> pa.Field:
    """A column that documents itself; the unit and description travel in the Parquet files."""
    return pa.field(name, type_, nullable=nullable, metadata={"description": description, "unit": unit})


STATEMENT = pa.struct([pa.field("code", pa.string()), pa.field("likelihood", pa.float32())])
CODED_VIEW = pa.struct([pa.field("view", pa.string()), pa.field("codes", pa.list_(pa.string()))])
CLAIM = pa.struct(
    [
        column("feature", pa.string(), "Measured feature it is about, or statement:CODE for a statement made together"),
        column(
            "lead", pa.string(), "Lead or lead group (inferior, lateral, …); null for features not measured per lead"
        ),
        column("comparison", pa.string(), "above, below, between, present or absent"),
        column("value", pa.float64(), "Value it compares with; the lower one of between", "see unit"),
        column("upper", pa.float64(), "Upper value of between", "see unit"),
        column("unit", pa.string(), "Unit of value and upper"),
        column("support", pa.float64(), "Share of the condition's measured recordings that satisfy it"),
        column("support_low", pa.float64(), "Lower end of the 95 % interval of support, counting patients"),
        column("elsewhere", pa.float64(), "Share of all other training recordings that satisfy it"),
        column("verdict", pa.string(), "What the audit decided"),
        column("author", pa.string(), "Who proposed it: the language model, or the evidence itself"),
    ]
)

QUARTILES = pa.struct(
    [
        column("feature", pa.string(), "Measured feature"),
        column("lead", pa.string(), "Lead group (inferior, lateral, …); null for features not measured per lead"),
        column("low", pa.float32(), "First quartile", "of the feature"),
        column("median", pa.float32(), "Median", "of the feature"),
        column("high", pa.float32(), "Third quartile", "of the feature"),
        column("patients", pa.int32(), "Patients of whom it is measured", "count"),
    ]
)


def measured_columns() -> list[pa.Field]:
    """Features measured on a waveform by `models.ecg.measurements`; the same for real and synthetic ECGs."""
    per_lead = pa.list_(pa.float32(), len(STANDARD_LEADS))
    leads = ", ".join(STANDARD_LEADS)
    return [
        column("heart_rate_bpm", pa.float32(), "Heart rate from the mean RR interval", "bpm"),
        column("rr_irregularity", pa.float32(), "Standard deviation of RR over its mean"),
        column("r_peaks", pa.int16(), "R peaks found", "count"),
        column("pr_ms", pa.float32(), "PR interval of the mean beat; null without a P wave", "ms"),
        column("qrs_ms", pa.float32(), "QRS duration of the mean beat", "ms"),
        column("qt_ms", pa.float32(), "QT interval of the mean beat", "ms"),
        column("qtc_ms", pa.float32(), "QT corrected for rate (Fridericia)", "ms"),
        column("axis_deg", pa.float32(), "Electrical axis of the QRS in the frontal plane", "degree"),
        column("p_present", pa.bool_(), "Whether a P wave precedes the QRS of the mean beat"),
        column(
            "st_level_mv", per_lead, f"ST level 60 ms after the J point against the PR segment; leads {leads}", "mV"
        ),
        column("t_amplitude_mv", per_lead, f"Signed T-wave amplitude of the mean beat; leads {leads}", "mV"),
        column("r_amplitude_mv", per_lead, f"Largest positive QRS amplitude of the mean beat; leads {leads}", "mV"),
    ]


R_PEAK_COLUMN = "r_peak_s"
MEASURED_FEATURES = tuple(field.name for field in measured_columns())


def lead_columns(samples: int) -> list[pa.Field]:
    """One column per independent lead."""
    return [
        column(lead_column(lead), pa.list_(pa.int16(), samples), f"Lead {lead}", "µV", nullable=False)
        for lead in INDEPENDENT_LEADS
    ]


def _waveform_table(fields: list[pa.Field], samples: int, rate_hz: int) -> pa.Schema:
    metadata = {"samples": str(samples), "sampling_rate_hz": str(rate_hz)}
    r_peaks = column(
        R_PEAK_COLUMN,
        pa.list_(pa.float32()),
        "R peaks from the first sample, ascending; between samples where need be",
        "s",
        nullable=False,
    )
    return pa.schema([*fields, r_peaks, *measured_columns(), *lead_columns(samples)], metadata=metadata)


def recordings(samples: int = 1000, rate_hz: int = 100) -> pa.Schema:
    """A real recording; never leaves the warehouse."""
    return _waveform_table(
        [
            column("recording_id", pa.string(), "Opaque id: keyed digest of source and record", nullable=False),
            column("patient_key", pa.string(), "Keyed digest of the patient; equal for one patient", nullable=False),
            column("source", pa.string(), "Dataset it came from", nullable=False),
            column("simulated", pa.bool_(), "True when the source is Einthoven's simulator", nullable=False),
            column("window_start_s", pa.float32(), "Where it begins in the source's record", "s", nullable=False),
            column("strat_fold", pa.int8(), "Patient-disjoint fold", "1 to 10", nullable=False),
            column("split", pa.string(), "train, validation or test; by patient", nullable=False),
            column("age_years", pa.float32(), "Age at recording; 90 stands for older than 89", "years"),
            column("sex", pa.string(), "female or male"),
            column("text", pa.string(), "Report as written", nullable=False),
            column(
                "statements",
                pa.list_(STATEMENT),
                "Statements; likelihood 0 means unknown; what they mean: table `statements`",
                "percent",
            ),
            column("superclasses", pa.list_(pa.string()), "Diagnostic superclasses: NORM, MI, STTC, CD, HYP"),
            column(
                "coded_views",
                pa.list_(CODED_VIEW),
                "What else the source codes, by view: axis, infarction_stage, extra_beats, pacemaker; its own codes "
                "(snomed, aha), centre; of MIMIC-IV diagnoses, procedures and medications",
            ),
            column("quality_flags", pa.list_(pa.string()), "What is wrong with the signal; empty when nothing is"),
        ],
        samples,
        rate_hz,
    )


def cohorts(samples: int = 1000, rate_hz: int = 100) -> pa.Schema:
    """A synthetic ECG and the condition it was generated for."""
    return _waveform_table(
        [
            column("ecg_id", pa.string(), "Cohort id and row number", nullable=False),
            column("row_number", pa.int64(), "Position in the cohort, from 0", nullable=False),
            column("row_seed", pa.int64(), "Seed of this row, derived from cohort seed and row number", nullable=False),
            column("model_id", pa.string(), "Model that generated it", nullable=False),
            column(
                "simulated_source", pa.bool_(), "True when the model learned from simulated recordings", nullable=False
            ),
            column(
                "condition",
                pa.string(),
                "All that is asked for in words, separated by '; '; to find one: shows(condition, 'sinus rhythm')",
                nullable=False,
            ),
            column(
                "text",
                pa.string(),
                "Report asked for; written from statements, likelihoods and coded views, never a patient's",
                nullable=False,
            ),
            column(
                "statements",
                pa.list_(pa.string()),
                "Statements asked for, diagnoses first, in SCP-ECG's codes where it has one; to find one: "
                "shows(statements, 'AFIB')",
            ),
            column(
                "likelihoods",
                pa.list_(pa.float32()),
                "How likely each statement was asked to be; null for certain or unknown",
                "percent",
            ),
            column(
                "superclasses",
                pa.list_(pa.string()),
                "Diagnostic superclasses asked for: all that the training recordings of the condition have; of one "
                "without a statement nothing more was asked for",
            ),
            column(
                "given_up",
                pa.list_(pa.string()),
                "What the condition leaves out, because too few patients share it, though the training recordings that "
                "it stands for have it: age, sex, finding, or kinds of statement and coded views",
            ),
            column("heart_axis", pa.string(), "Heart axis asked for, an SCP-ECG code such as LAD"),
            column("infarction_stage", pa.string(), "Infarction stage asked for"),
            column(
                "extra_beats", pa.string(), "Extra beats asked for: ventricular, supraventricular, both, unspecified"
            ),
            column("pacemaker", pa.bool_(), "True where an ECG with a pacemaker was asked for"),
            column(
                "findings",
                pa.list_(pa.string()),
                "What else was asked for, in fixed phrases that reports are read into, e.g. possible inferior wall",
            ),
            column("age_years", pa.float32(), "Age asked for; 90 stands for older than 89", "years"),
            column("sex", pa.string(), "Sex asked for: female or male"),
            column("target_heart_rate_bpm", pa.float32(), "Heart rate asked for", "bpm"),
            column("knowledge_entries", pa.list_(pa.string()), "Knowledge entries retrieved for the condition"),
            column("quality_flags", pa.list_(pa.string()), "What is wrong with the signal; empty when nothing is"),
        ],
        samples,
        rate_hz,
    )


def quarantine() -> pa.Schema:
    """A record that was refused."""
    return pa.schema(
        [
            column("source", pa.string(), "Dataset it came from", nullable=False),
            column("record", pa.string(), "Record path inside the dataset", nullable=False),
            column("reason", pa.string(), "Reason code", nullable=False),
            column("detail", pa.string(), "What exactly was wrong", nullable=False),
        ]
    )


def statements() -> pa.Schema:
    """What a statement of a dataset means; where it is not known, what the dataset calls it."""
    return pa.schema(
        [
            column("source", pa.string(), "Dataset that makes it", nullable=False),
            column("code", pa.string(), "Code in `recordings.statements`; null for a report's phrase that is not read"),
            column("description", pa.string(), "In words, ours or the dataset's", nullable=False),
            column("known", pa.bool_(), "Whether the vocabulary has it", nullable=False),
            column(
                "records", pa.int64(), "Records that make it, among all that the dataset lists", "count", nullable=False
            ),
            column("kind", pa.string(), "diagnostic, form, rhythm, technical, or axis for a heart axis"),
            column("superclass", pa.string(), "Diagnostic superclass: NORM, MI, STTC, CD or HYP"),
            column("snomed", pa.list_(pa.string()), "SNOMED CT concepts"),
            column("aha", pa.list_(pa.string()), "AHA/ACC/HRS statements, with modifiers after +"),
            column("aecg", pa.list_(pa.string()), "HL7 aECG codes"),
        ]
    )


def knowledge() -> pa.Schema:
    """A knowledge-base entry and the outcome of its audit."""
    return pa.schema(
        [
            column("entry_id", pa.string(), "Digest of evidence, prompt and models", nullable=False),
            column("statement", pa.string(), "Statement it describes", nullable=False),
            column("condition", pa.string(), "The condition in words", nullable=False),
            column("names", pa.list_(pa.string()), "What the statement is also called; what requests are matched with"),
            column("sex", pa.string(), "Sex it is about; null for both"),
            column("age_band", pa.string(), "Age band it is about, e.g. 60-79; null for all", "years"),
            column("narrative", pa.string(), "What the evidence shows, in at most 120 words", nullable=False),
            column("claims", pa.list_(CLAIM), "Machine-checkable claims proposed, each with its verdict"),
            column(
                "coded_views",
                pa.list_(CODED_VIEW),
                "Diagnoses, medications and procedures of admissions that set the patients apart: 30 % have them, and "
                "half as many of the others; empty where the source has none",
            ),
            column(
                "quartiles",
                pa.list_(QUARTILES),
                "What the training patients most like the condition's others measure; features that too few have are "
                "left out",
            ),
            column("patients", pa.int32(), "Training patients behind it", "count", nullable=False),
            column("recordings", pa.int32(), "Training recordings behind it", "count", nullable=False),
            column("claims_proposed", pa.int16(), "Claims the language model proposed", "count", nullable=False),
            column("claims_kept", pa.int16(), "Claims that the evidence supports", "count", nullable=False),
            column("claims_refuted", pa.int16(), "Claims that were removed", "count", nullable=False),
            column("sentences_proposed", pa.int16(), "Sentences the language model proposed", "count", nullable=False),
            column("sentences_kept", pa.int16(), "Sentences of which everything was checked", "count", nullable=False),
            column("attempts", pa.int16(), "Times the language model was asked", "count", nullable=False),
            column("rendered", pa.bool_(), "True when rendered from evidence alone", nullable=False),
            column("model", pa.string(), "Language model that wrote it", nullable=False),
            column("prompt_version", pa.string(), "Prompt file it was written with", nullable=False),
            column("embedding_model", pa.string(), "Model of the embedding", nullable=False),
            column("embedding", pa.list_(pa.float32(), EMBEDDING_SIZE), "Embedding of the narrative"),
            column(
                "name_embeddings", pa.list_(pa.list_(pa.float32(), EMBEDDING_SIZE)), "Embedding of each of the names"
            ),
        ]
    )


def _metric_columns() -> list[pa.Field]:
    return [
        column("value", pa.float64(), "Point estimate"),
        column("low", pa.float64(), "Lower end of the 95 % interval"),
        column("high", pa.float64(), "Upper end of the 95 % interval"),
        column("reference", pa.float64(), "The same metric on real data, or the value chance would give"),
        column("unit", pa.string(), "Unit of value, low, high and reference"),
        column("n", pa.int64(), "Recordings or rows it was computed from", "count"),
        column("seed", pa.int64(), "Seed of the computation"),
    ]


def evaluations() -> pa.Schema:
    """One metric of a cohort's quality."""
    return pa.schema(
        [
            column(
                "aspect",
                pa.string(),
                "fidelity, alignment, condition, delivery, downstream, physics, reconstruction or simulator",
                nullable=False,
            ),
            column("metric", pa.string(), "Name of the metric", nullable=False),
            column(
                "subject",
                pa.string(),
                "What was measured, e.g. synthetic, reconstruction, or what a classifier was trained on",
                nullable=False,
            ),
            column("condition", pa.string(), "Statement that the measured ECGs were asked for; null for all ECGs"),
            *_metric_columns(),
            column("flag", pa.string(), "Why the value is missing or uncertain, e.g. too few rows; null when neither"),
        ]
    )


def audits() -> pa.Schema:
    """One privacy measurement of a cohort, with the threshold that gates its release."""
    return pa.schema(
        [
            column("attack", pa.string(), "What an adversary would try", nullable=False),
            column("metric", pa.string(), "How its success was measured", nullable=False),
            *_metric_columns(),
            column("threshold", pa.float64(), "Bound that a release must keep; null when only reported"),
            column("default_threshold", pa.float64(), "The bound by default; another one was widened or narrowed"),
            column("setting", pa.string(), "Setting of `privacy` that holds the bound; null for a bound that has none"),
            column("passed", pa.bool_(), "Whether the bound was kept; null when only reported"),
            column("canary", pa.string(), "Kind of planted leak that must break the bound; null for what is counted"),
            column("power", pa.float64(), "Share of trials in which these canaries broke the bound"),
        ]
    )


def model_audits() -> pa.Schema:
    """One privacy measurement of a model, which is not released, with the threshold that its own release would need."""
    return audits()


TABLES = {
    "recordings": recordings,
    "quarantine": quarantine,
    "statements": statements,
    "knowledge": knowledge,
    "cohorts": cohorts,
    "evaluations": evaluations,
    "audits": audits,
    "model_audits": model_audits,
}
"""Table name to the function that makes its schema."""
