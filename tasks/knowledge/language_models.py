"""The language model that a setting names, always a LangChain chat model."""

from __future__ import annotations

from langchain_core.language_models.chat_models import BaseChatModel

from tasks.knowledge.errors import KnowledgeError
from tasks.settings import KnowledgeSettings

LOCAL = "local"


def chat_model(settings: KnowledgeSettings) -> BaseChatModel:
    """The chat model of `knowledge.model`.

    Raises:
        KnowledgeError: a package or key is missing, the name is unknown, or the model runs elsewhere and that is not
            allowed.
    """
    if settings.model == LOCAL:
        from tasks.knowledge.local_model import LocalChatModel, check_installed

        check_installed()
        return LocalChatModel(temperature=settings.temperature, seed=settings.seed)
    if not settings.allow_remote:
        raise KnowledgeError(
            f"knowledge.model {settings.model!r} would send evidence about patients elsewhere; "
            "set knowledge.allow_remote=true if that is permitted, or knowledge.model=local"
        )
    from langchain.chat_models import init_chat_model

    try:
        return init_chat_model(settings.model, temperature=settings.temperature)
    except Exception as error:  # every provider has its own types for a missing package or key
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise KnowledgeError(
            f"knowledge.model {settings.model!r} cannot be used: {reason} (install the provider's LangChain package, "
            "set its API key, or use knowledge.model=local)"
        ) from error


def model_identity(model: BaseChatModel, settings: KnowledgeSettings) -> str:
    """The name that is stored beside what a model wrote."""
    return model._llm_type if settings.model == LOCAL else settings.model
