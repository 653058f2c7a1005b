"""Networks that judge cohorts: trained on real recordings, committed once per recordings and settings."""
