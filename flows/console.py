"""What a person sees in the terminal during a run: one line per event, no tracebacks for errors made for people."""

from __future__ import annotations

import logging
import os

from warehouse.errors import EinthovenError

# Set before Prefect is imported; what the user has set in the environment wins.
PREFECT_ENVIRONMENT = {
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # the first start migrates a new database
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s  %(message)s",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT": "%(asctime)s  %(message)s",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FORMAT": "%(asctime)s  %(message)s",
}
LIBRARY_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # models come with packages
    "TOKENIZERS_PARALLELISM": "false",  # the tokenizers library warns of every fork otherwise
}
"""What every run needs; the deployments of `prefect.yaml` give it to the runs of a worker."""
ENGINE_CHATTER = ("Created task run", "Finished in state ", "Beginning subflow run", "View at ")


def prepare_environment() -> None:
    """Settings of Prefect and quiet libraries; call before importing Prefect."""
    for name, value in {**PREFECT_ENVIRONMENT, **LIBRARY_ENVIRONMENT}.items():
        os.environ.setdefault(name, value)


class ForPeople(logging.Filter):
    """Drops what the command line says itself: expected errors (printed once, at the end) and engine chatter."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], EinthovenError):
            return False
        message = record.getMessage()
        return not message.startswith(ENGINE_CHATTER) and "EinthovenError" not in message


def quieten_console() -> None:
    """Attach the filter to the console; call after importing Prefect. The server keeps every line."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(ForPeople())
