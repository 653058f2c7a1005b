"""Train a small classifier on a release: a PyTorch Dataset over its Parquet files, and a few steps of a network.

python examples/train_on_release.py [WAREHOUSE]     after `make demo`; the default is ./einthoven-warehouse
"""

# %%
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, random_split

warehouse = Path(sys.argv[1] if len(sys.argv) > 1 else "einthoven-warehouse")
releases = sorted(warehouse.glob("releases/*/current"))
if not releases:
    sys.exit(f"{warehouse} holds no release; run `make demo`, or name another warehouse")
folder = releases[-1]


# %% A lead is a column of lists that are all of one length, 16-bit in µV: flat, it is a (rows, samples) array.
class Release(Dataset[tuple[Tensor, Tensor]]):
    """ECGs of a release and what they were generated for.

    Each item is (12, samples) float32 in mV, in the order I, II, III, aVR, aVL, aVF, V1 to V6, and (statements,)
    float32, 1 for each statement of the ECG's condition.
    """

    leads = ("lead_i", "lead_ii", *(f"lead_v{number}" for number in range(1, 7)))

    def __init__(self, folder: Path) -> None:
        table = pq.read_table(folder / "cohorts", columns=["statements", *self.leads])
        flat = [table[lead].combine_chunks().flatten().to_numpy() for lead in self.leads]
        self.microvolts = np.stack([lead.reshape(len(table), -1) for lead in flat], axis=1)  # (rows, 8, samples)
        of_row = table["statements"].to_pylist()
        self.statements = sorted({statement for row in of_row for statement in row})
        self.labels = torch.tensor([[float(one in row) for one in self.statements] for row in of_row])

    def __len__(self) -> int:
        return len(self.microvolts)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        i, ii, *chest = torch.from_numpy(self.microvolts[row].astype(np.float32) / 1000)
        limb = [i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2]
        return torch.stack([*limb, *chest]), self.labels[row]


# %% Rows of a release are independent, so any split will do.
torch.manual_seed(1)
release = Release(folder)
training, held_out = random_split(release, [0.8, 0.2])
print(f"{len(release)} ECGs of {tuple(release[0][0].shape)} with {len(release.statements)} statements from {folder}")

# %% A few steps show that the loss falls; a useful classifier needs many more.
network = nn.Sequential(
    nn.Conv1d(12, 32, 15, stride=4),
    nn.ReLU(),
    nn.Conv1d(32, 64, 9, stride=4),
    nn.ReLU(),
    nn.AdaptiveAvgPool1d(1),
    nn.Flatten(),
    nn.Linear(64, len(release.statements)),
)
optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
for epoch in range(1, 6):
    losses = []
    for signal, labels in DataLoader(training, batch_size=16, shuffle=True):
        loss = nn.functional.binary_cross_entropy_with_logits(network(signal), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: loss {np.mean(losses):.3f}")

# %%
with torch.inference_mode():
    signal, labels = next(iter(DataLoader(held_out, batch_size=len(held_out))))
    found = labels.gather(1, network(signal).argmax(dim=1, keepdim=True)).sum()
print(f"of {len(held_out)} other ECGs, {found:.0f} have the statement that it finds most likely")
