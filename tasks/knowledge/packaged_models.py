"""Models that come as Python packages, so that everything runs offline."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.knowledge.errors import KnowledgeError


def packaged_path(package: str, path: str, install: str) -> Path:
    """A file or folder inside an installed package, found without importing the package.

    Args:
        package: import name of the package.
        path: file or folder inside it.
        install: command that installs it, for the error message.

    Raises:
        KnowledgeError: the package is not installed, or came without that file.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise KnowledgeError(f"the package {package} is not installed; run: {install}")
    full = Path(next(iter(found.submodule_search_locations))) / path
    if not full.exists():
        raise KnowledgeError(f"{full} is missing; reinstall it: {install}")
    return full


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread. These models are small: where other work fills the cores, threads that wait for each
    other at every step cost fifty times what they save, and one thread gives the same digits on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stay_offline() -> None:
    """Keep the Hugging Face libraries from asking the network for what is already on disk, and from drawing bars."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
