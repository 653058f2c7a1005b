"""Publishing a cohort: gate, release folder, report, catalog."""
