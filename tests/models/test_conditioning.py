"""Condition tensors and their encoder: any subset of fields, and nothing leaks from what is hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.conditioning import FIELDS, KNOWLEDGE_FIELDS, NUMBERS, ConditionEncoder, ConditionTensors
from models.measured_features import MEASURED


def conditions(rows: int = 5, statements: int = 3, entries: int = 2) -> ConditionTensors:
    generator = torch.Generator().manual_seed(0)
    return ConditionTensors(
        torch.randn(rows, 384, generator=generator) / 20,
        torch.randn(rows, statements, 384, generator=generator) / 20,
        torch.randn(rows, entries, 384, generator=generator) / 20,
        torch.tensor([[63.0, 1.0, 72.0]]).repeat(rows, 1),
        torch.ones(rows, 1 + statements + entries + 3, dtype=torch.bool),
        findings=torch.randn(rows, 384, generator=generator) / 20,
        quartiles=torch.randn(rows, entries, len(MEASURED), 3, generator=generator).cumsum(dim=3),
        measured=torch.ones(rows, entries, len(MEASURED), dtype=torch.bool),
    )


def with_value(condition: ConditionTensors, field: str) -> ConditionTensors:
    """The same conditions with one value, the same in all rows, in one of `FIELDS`."""
    if field == "measurements":
        return replace(condition, quartiles=torch.full_like(condition.quartiles, 7.0))
    if field in NUMBERS:
        numbers = condition.numbers.clone()
        numbers[:, NUMBERS.index(field)] = 7.3
        return replace(condition, numbers=numbers)
    return replace(condition, **{field: torch.full_like(getattr(condition, field), 7.0)})


def encoder() -> ConditionEncoder:
    torch.manual_seed(0)
    return ConditionEncoder(32)


def test_rows_can_be_taken_from_another_batch() -> None:
    one, other = conditions(), conditions().hidden()
    other.rhythm[:] = 3
    mixed = one.where(torch.tensor([True, False, False, True, False]), other)
    assert mixed.present.any(dim=1).tolist() == [False, True, True, False, True]
    assert mixed.rhythm.tolist() == [3, 0, 0, 3, 0]
    assert torch.equal(mixed.text, one.text)


def test_one_token_per_text_and_number() -> None:
    tokens, mask = encoder()(conditions())
    assert tokens.shape == (5, 1 + 3 + 2 + 3 + 1 + 2, 32)
    assert mask.all()


def test_hidden_field_shows_nothing_of_its_value() -> None:
    for index, field in enumerate(FIELDS):
        kept = torch.ones(5, len(FIELDS), dtype=torch.bool)
        kept[:, index] = False
        one, other = conditions(), with_value(conditions(), field)
        tokens, mask = encoder()(one.keep(kept))
        changed, _ = encoder()(other.keep(kept))
        assert torch.equal(tokens, changed), field
        visible, _ = encoder()(one)
        assert not torch.equal(tokens, visible), field
        assert torch.equal(tokens, encoder()(one.without(field))[0]), field
        assert not torch.equal(visible, encoder()(other)[0]), field
        assert mask.any(dim=1).all()


def test_whole_field_missing_leaves_one_null_token_and_missing_slots_are_masked() -> None:
    condition = conditions()
    condition.present[0, 2:4] = False  # two of three statements
    condition.present[1, 1:4] = False  # all statements
    tokens, mask = encoder()(condition)
    assert mask[0, 1:4].tolist() == [True, False, False]
    assert mask[1, 1:4].tolist() == [True, False, False]
    assert not torch.equal(tokens[0, 1], tokens[1, 1])


def test_dropout_hides_fields_at_the_asked_rate_and_rows_as_a_whole() -> None:
    torch.manual_seed(0)
    many = conditions(4000)
    per_field = many.dropped(0.2, 0.0).present[:, 0].float().mean()
    assert float(per_field) == pytest.approx(0.8, abs=0.03)
    whole = (~many.dropped(0.0, 0.3).present.any(dim=1)).float().mean()
    assert float(whole) == pytest.approx(0.3, abs=0.03)
    statements = many.dropped(0.5, 0.0).present[:, 1:4]
    assert (statements.all(dim=1) | ~statements.any(dim=1)).all()


def test_selecting_and_stacking() -> None:
    condition = conditions()
    condition.numbers[:, 0] = torch.arange(5.0)
    again = ConditionTensors.stack([condition[[3, 1]], condition[2:3], condition[torch.tensor([0])]])
    assert again.numbers[:, 0].tolist() == [3.0, 1.0, 2.0, 0.0]
    assert len(again) == 4
    assert not condition.hidden().present.any()
    without = condition.without_knowledge()
    assert without.present.sum(dim=1).tolist() == [7] * 5 and not without.measured.any() and without.findings.any()


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="present"):
        ConditionTensors(
            torch.zeros(2, 384),
            torch.zeros(2, 3, 384),
            torch.zeros(2, 0, 384),
            torch.zeros(2, 3),
            torch.zeros(2, 6).bool(),
        )


def test_numbers_of_a_clinical_difference_apart_give_different_tokens() -> None:
    slow, fast = conditions(1), conditions(1)
    fast.numbers[:, 2] = 77.0
    distance = (encoder()(slow)[0][0, 8] - encoder()(fast)[0][0, 8]).norm()
    assert float(distance) > 0.1


def test_a_quartile_that_is_not_known_has_no_value_and_is_flagged() -> None:
    one, other = conditions(), conditions()
    for condition in (one, other):
        condition.measured[:, 0, 3] = False
    other.quartiles[:, 0, 3] = torch.nan
    tokens, mask = encoder()(one)
    assert torch.equal(tokens, encoder()(other)[0]) and mask.all()
    zero = conditions()
    zero.quartiles[:, 0, 3] = MEASURED[3].usual
    assert not torch.equal(tokens[:, 10], encoder()(zero)[0][:, 10])


def test_findings_are_dropped_more_often_than_other_fields() -> None:
    torch.manual_seed(0)
    dropped = conditions(4000).dropped(0.1, 0.0)
    assert float(dropped.findings.any(dim=1).float().mean()) == pytest.approx(0.45, abs=0.03)
    assert float(dropped.measured.any(dim=(1, 2)).float().mean()) == pytest.approx(0.9, abs=0.03)


def test_rows_are_given_the_fields_of_other_rows_and_keep_the_rest() -> None:
    condition = conditions()
    condition.numbers[:, 0] = torch.arange(5.0)
    condition.present[1, 4:6] = False
    rows = torch.tensor([1, 2, 3, 4, 0])
    for names in (*((field,) for field in FIELDS), KNOWLEDGE_FIELDS):
        mixed, other = condition.with_fields_of(names, rows), condition[rows]
        rest = [field for field in FIELDS if field not in names]
        assert torch.equal(encoder()(mixed.without(*rest))[0], encoder()(other.without(*rest))[0]), names
        assert torch.equal(encoder()(mixed.without(*names))[0], encoder()(condition.without(*names))[0]), names
