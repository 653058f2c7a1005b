"""Rows in groups of one size, made side by side."""

from __future__ import annotations

import threading

import pytest
import torch

from models.latent_diffusion.row_groups import in_groups, row_groups


def test_groups_are_of_one_size_and_the_last_row_fills_the_last() -> None:
    assert row_groups(5, 2) == [[0, 1], [2, 3], [4, 4]]
    assert row_groups(1, 3) == [[0, 0, 0]]
    assert row_groups(0, 3) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_come_back_in_order_and_each_once(threads: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        made = in_groups(lambda rows: torch.tensor(rows)[:, None].repeat(1, 2), 7, 3, "cpu")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert made.tolist() == [[row, row] for row in range(7)]


def test_groups_are_made_side_by_side_without_gradients_by_one_thread_each() -> None:
    before, weight, together = torch.get_num_threads(), torch.ones(1, requires_grad=True), threading.Barrier(2)

    def made(rows: list[int]) -> torch.Tensor:
        together.wait(timeout=30)  # broken unless two groups are being made at a time
        assert torch.get_num_threads() == 1
        return torch.ones(len(rows)) * weight

    try:
        torch.set_num_threads(2)
        assert not in_groups(made, 4, 2, "cpu").requires_grad
    finally:
        torch.set_num_threads(before)


def test_a_failure_reaches_the_caller_and_threads_are_given_back() -> None:
    before = torch.get_num_threads()

    def made(rows: list[int]) -> torch.Tensor:
        raise ValueError(f"row {rows[0]}")

    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="row 0"):
            in_groups(made, 4, 2, "cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
