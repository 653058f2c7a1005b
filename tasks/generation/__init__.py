"""Generation of cohorts, and of single ECGs for a request in words."""
