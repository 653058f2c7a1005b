from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.measured_features import MEASURED
from models.rhythm.drawn import draw_rhythms
from models.rhythm.rhythm import PACED
from models.rhythm.statistics import ECTOPIES, RHYTHMS, USUAL
from tasks.conditions.coded_views import certainty
from tasks.conditions.condition import (
    Condition,
    ConditionEmbedder,
    by_importance,
    conditions_asked,
    conditions_of,
)
from tasks.knowledge.embeddings import local_embeddings
from tasks.knowledge.errors import KnowledgeError
from tasks.knowledge.retrieval import KnowledgeIndex
from tasks.settings import RetrievalSettings
from tests.tasks.knowledge.entries import entries
from tests.tasks.knowledge.patients import FACTS, recordings_table
from warehouse.schema import knowledge

AFIB = Condition("atrial fibrillation", ("AFIB",), 70.0, "female", 110.0)


def embedder(codes: list[str] | None = None, statement_tokens: int = 3, knowledge_tokens: int = 2) -> ConditionEmbedder:
    """With a knowledge base of one entry per statement in `codes`."""
    table = None
    if codes is not None:
        vectors = local_embeddings().embed_documents([str(FACTS[code]["description"]) for code in codes])
        rows = [
            dict.fromkeys(knowledge().names)
            | {"entry_id": code, "statement": code, "embedding": vector, "name_embeddings": [vector]}
            for code, vector in zip(codes, vectors, strict=True)
        ]
        table = pa.Table.from_pylist(rows, schema=pa.schema([field.with_nullable(True) for field in knowledge()]))
    return ConditionEmbedder(local_embeddings(), table, FACTS, statement_tokens, knowledge_tokens, RetrievalSettings())


def report(*statements: str) -> str:
    return Condition("", statements, None, None, None).written(FACTS).text


def test_a_report_names_diagnoses_then_rhythms_then_forms() -> None:
    assert report("INVT", "SR", "CLBBB", "SR") == "complete left bundle branch block, sinus rhythm, inverted T-waves"
    assert by_importance(["unheard", "SR", "IMI", "NORM"], FACTS) == ("IMI", "NORM", "SR", "unheard")
    assert report("unheard") == "unheard"


def test_a_report_says_how_likely_statements_are_and_what_else_is_coded() -> None:
    codes = ("CLBBB", "IMI", "SR")
    views = {"heart_axis": "LAD", "infarction_stage": "Stadium III", "extra_beats": "ventricular", "pacemaker": True}
    condition = Condition("", codes, None, None, None, (15.0, 80.0, None), **views)
    assert condition.written(FACTS).text == (
        "possible complete left bundle branch block, probable inferior myocardial infarction, sinus rhythm, left axis "
        "deviation, old infarction, stage III, ventricular extra beats, pacemaker"
    )
    assert condition.phrases(FACTS)[3:] == [
        "left axis deviation",
        "old infarction, stage III",
        "ventricular extra beats",
        "pacemaker",
    ]
    assert [certainty(percent) for percent in (None, 0.0, 15.0, 35.0, 50.0, 80.0, 100.0)] == (
        ["", "", "possible", "possible", "probable", "probable", ""]
    )


def test_coded_views_and_likelihoods_reach_the_condition_and_its_tokens() -> None:
    table = recordings_table(patients=1, truth={("SR", "IMI"): {}})
    views = [{"view": "axis", "codes": ["ALAD"]}, {"view": "infarction_stage", "codes": ["unknown", "Stadium II"]}]
    views += [{"view": "extra_beats", "codes": ["supraventricular", "ventricular"]}]
    views += [{"view": "pacemaker", "codes": ["possible"]}]
    stated = [{"code": "SR", "likelihood": 0.0}, {"code": "IMI", "likelihood": 35.0}]
    for name, value in (("coded_views", views), ("statements", stated)):
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array([value], field.type))
    (condition,) = conditions_of(table, FACTS)
    assert (condition.statements, condition.likelihoods) == (("IMI", "SR"), (35.0, None))
    assert (condition.heart_axis, condition.infarction_stage) == ("ALAD", "Stadium II")
    assert (condition.extra_beats, condition.pacemaker) == ("ventricular and supraventricular", None)
    tensors, _ = embedder(statement_tokens=6)([condition])
    assert tensors.present[0, 1:7].tolist() == [True] * 5 + [False]
    plain, _ = embedder(statement_tokens=6)([Condition("", ("IMI", "SR"), None, None, None)])
    # The likelihood changes the statement's own token, the views come after the statements.
    assert torch.equal(tensors.statements[0, 1], plain.statements[0, 1])
    assert not torch.equal(tensors.statements[0, 0], plain.statements[0, 0])
    asked = pa.table(
        {"statements": [["IMI", "SR"]], "superclasses": [["MI", "CD"]], "age_years": [None], "sex": ["male"]}
    )
    for name, value in (("target_heart_rate_bpm", 70.0), ("likelihoods", [15.0, None]), ("heart_axis", "ALAD")):
        asked = asked.append_column(name, [[value]])
    for name in ("infarction_stage", "extra_beats", "pacemaker"):
        asked = asked.append_column(name, pa.array([None], pa.string()))
    asked = asked.append_column("findings", [[["possible inferior wall"]]])
    (again,) = conditions_asked(asked, FACTS)
    assert again.phrases(FACTS) == (
        ["conduction disturbance", "possible inferior myocardial infarction", *condition.phrases(FACTS)[1:3]]
    )
    assert again.findings == ("possible inferior wall",)


def test_a_report_reaches_the_condition_in_fixed_words_and_has_a_tensor_of_its_own() -> None:
    table = recordings_table(patients=1, truth={("SR", "IMI"): {}})
    text = pa.array(["Mr Müller: alter inferiorer Infarkt nicht auszuschließen, periphere Niederspannung"])
    table = table.set_column(table.schema.get_field_index("text"), "text", text)
    (condition,) = conditions_of(table, FACTS)
    assert condition.findings == ("possible inferior wall", "low limb-lead voltage")
    assert condition.text == "inferior myocardial infarction, sinus rhythm"
    tensors, _ = embedder()([condition, replace(condition, findings=())])
    sentence = local_embeddings().embed_query("possible inferior wall, low limb-lead voltage")
    np.testing.assert_allclose(tensors.findings[0].numpy(), sentence, atol=1e-6)
    assert not tensors.findings[1].any() and torch.equal(tensors.text[0], tensors.text[1])


def test_a_coded_pacemaker_and_extra_beats_decide_what_is_drawn_of_the_rhythm() -> None:
    paced = Condition("", ("AFIB",), None, None, None, pacemaker=True)
    extra = Condition("", ("SR",), None, None, None, extra_beats="supraventricular")
    stated = embedder()([paced, extra, AFIB])[0].stated_rhythm
    assert [(RHYTHMS[one], ECTOPIES[other]) for one, other in stated.tolist()] == [
        ("paced", "none"),
        ("sinus", "atrial premature beats"),
        ("atrial fibrillation", "none"),
    ]
    unknown = torch.full((2,), torch.nan)
    drawn = draw_rhythms(*stated[[0, 2]].unbind(dim=1), unknown, USUAL, 10.0, torch.arange(2))
    assert (drawn.kinds[0] == PACED).any() and not (drawn.kinds[1] == PACED).any()


def test_what_patients_like_an_entrys_measure_stands_beside_it() -> None:
    index = KnowledgeIndex.from_table(entries(FACTS))
    made = ConditionEmbedder(local_embeddings(), entries(FACTS), FACTS, 3, 2, RetrievalSettings())
    tensors, found = made([AFIB])
    rows = [index.entry_ids.index(one) for one in found[0]]
    qrs = [feature.name for feature in MEASURED].index("qrs_ms")
    assert tensors.quartiles[0, :, qrs].tolist() == [[85, 90 + row, 110] for row in rows]
    assert tensors.measured[0].sum(dim=1).tolist() == [2, 2]
    with pytest.raises(KnowledgeError, match="no quartiles; build it again"):
        KnowledgeIndex.from_table(entries(FACTS).drop_columns(["quartiles"]))


def test_a_recordings_condition_is_what_it_shows_and_never_its_report() -> None:
    table = recordings_table(patients=1, truth={("SR", "CLBBB"): {"heart_rate_bpm": 74}})
    (condition,) = conditions_of(table, FACTS)
    assert condition.statements == ("CLBBB", "SR")
    assert condition.text == "complete left bundle branch block, sinus rhythm"
    assert condition.heart_rate_bpm == pytest.approx(table["heart_rate_bpm"][0].as_py())
    assert table["text"][0].as_py() not in repr(condition)


def test_without_descriptions_the_likeliest_statement_comes_first() -> None:
    (condition,) = conditions_of(recordings_table(patients=1, truth={("SR", "CLBBB"): {}}))
    assert condition.statements == ("CLBBB", "SR") and condition.text == ""


def test_missing_values_are_missing() -> None:
    table = recordings_table(patients=1, truth={("SR",): {}})
    columns = {"age_years": math.nan, "sex": None, "heart_rate_bpm": None}
    for name, value in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array([value], field.type))
    (condition,) = conditions_of(table, FACTS)
    assert (condition.age_years, condition.sex, condition.heart_rate_bpm) == (None, None, None)


def test_tensors_hold_the_condition_in_token_order() -> None:
    both = Condition("", ("NORM", "SR"), None, "male", None)
    tensors, found = embedder(["AFIB", "NORM", "SR"])([AFIB, both])
    text = np.array(
        local_embeddings().embed_documents(["atrial fibrillation", "normal ECG, sinus rhythm", "sinus rhythm"])
    )
    np.testing.assert_allclose(tensors.text.numpy(), text[:2], atol=1e-6)
    np.testing.assert_allclose(tensors.statements[0, 0].numpy(), text[0], atol=1e-6)
    np.testing.assert_allclose(tensors.statements[1, 1].numpy(), text[2], atol=1e-6)
    assert tensors.numbers.tolist() == [[70.0, 1.0, 110.0], [0.0, 0.0, 0.0]]
    #                                  text  statements           knowledge   age    sex   rate
    assert tensors.present.tolist() == [
        [True, True, False, False, True, True, True, True, True],
        [True, True, True, False, True, True, False, True, False],
    ]
    assert found[0][0] == "AFIB" and set(found[1]) == {"NORM", "SR"}
    np.testing.assert_allclose(tensors.knowledge[0, 0].numpy(), text[0], atol=1e-6)


def test_statements_beyond_the_tokens_are_the_less_important_ones() -> None:
    tensors, _ = embedder(statement_tokens=1)([Condition("", ("INVT", "SR", "IMI"), None, None, None)])
    np.testing.assert_allclose(
        tensors.statements[0, 0].numpy(), local_embeddings().embed_query("inferior myocardial infarction"), atol=1e-6
    )


@pytest.mark.parametrize("codes", [None, []])
def test_without_knowledge_its_tokens_are_absent(codes: list[str] | None) -> None:
    tensors, found = embedder(codes)([AFIB])
    assert found == [[]] and not tensors.present[0, 4:6].any() and tensors.knowledge.shape == (1, 2, 384)


def test_a_condition_embeds_alike_alone_and_among_others() -> None:
    long = Condition("a much longer report " * 10, ("NORM", "SR", "INVT"), 50.0, "male", 60.0)
    alone, _ = embedder(["AFIB", "SR"])([AFIB])
    among, _ = embedder(["AFIB", "SR"])([long, AFIB])
    for name, tensor in alone.tensors().items():
        assert torch.equal(tensor[0], among.tensors()[name][1]), name


def test_no_conditions_make_empty_tensors() -> None:
    tensors, found = embedder(["AFIB"])([])
    assert len(tensors) == 0 and found == []
