"""`make demo` can pass its own audit: with the demo's numbers of people and ECGs, honest ones keep its bounds."""

from __future__ import annotations

from pathlib import Path

from flows.profiles import load_settings
from tasks.privacy.task import audit_ecgs
from tests.tasks.clinic import cohort_table, people, put_cohort, put_recordings, recordings_table
from warehouse.storage.facts import AuditFacts
from warehouse.storage.store import Store


def test_people_who_were_not_learned_from_pass_the_audit_of_the_demo(tmp_path: Path) -> None:
    """Members, non-members and released ECGs are drawn alike, so that only the bounds and the demo's n decide.

    A bound too narrow for so few people fails; so does one too wide to be broken by what is planted.
    """
    settings = load_settings("demo")
    simulated = settings.source.simulation
    store = Store(str(tmp_path))
    recordings = put_recordings(store, recordings_table(simulated.recordings - simulated.damaged_files))
    cohort = put_cohort(store, recordings, cohort_table(*people(settings.cohort.size, seed=99)), "honest")
    made = audit_ecgs.fn(settings.privacy, cohort, recordings, settings.compute, str(store.root))
    facts = store.facts(made, AuditFacts)
    assert (facts.verdict, facts.failed, facts.powerless) == ("passed", [], [])
    rows = store.read(made, "audits").to_pylist()
    assert {row["setting"] for row in rows} >= {name for name in vars(settings.privacy) if name.startswith("max_")} - {
        "max_membership_tpr_at_1"  # has no bound with fewer than 100 non-members
    }
