"""Condition tensors and their encoder: any subset of fields, and nothing leaks from what is hidden."""

from __future__ import annotations

import pytest
import torch

from models.conditioning import FIELDS, ConditionEncoder, ConditionTensors


def conditions(rows: int = 5, statements: int = 3, entries: int = 2) -> ConditionTensors:
    generator = torch.Generator().manual_seed(0)
    return ConditionTensors(
        torch.randn(rows, 384, generator=generator) / 20,
        torch.randn(rows, statements, 384, generator=generator) / 20,
        torch.randn(rows, entries, 384, generator=generator) / 20,
        torch.tensor([[63.0, 1.0, 72.0]]).repeat(rows, 1),
        torch.ones(rows, 1 + statements + entries + 3, dtype=torch.bool),
    )


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
    assert tokens.shape == (5, 1 + 3 + 2 + 3, 32)
    assert mask.all()


def test_hidden_field_shows_nothing_of_its_value() -> None:
    for index, field in enumerate(FIELDS):
        kept = torch.ones(5, len(FIELDS), dtype=torch.bool)
        kept[:, index] = False
        one, other = conditions(), conditions()
        if field in ("text", "statements", "knowledge"):
            getattr(other, field).fill_(7.0)
        else:
            other.numbers[:, index - 3] = 7.0
        tokens, mask = encoder()(one.keep(kept))
        changed, _ = encoder()(other.keep(kept))
        assert torch.equal(tokens, changed), field
        visible, _ = encoder()(one)
        assert not torch.equal(tokens, visible), field
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
    assert condition.without_knowledge().present.sum(dim=1).tolist() == [7] * 5


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
    distance = (encoder()(slow)[0][0, -1] - encoder()(fast)[0][0, -1]).norm()
    assert float(distance) > 0.1
