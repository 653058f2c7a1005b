"""Attacks on a cohort, one file each; every one yields rows of the `audits` table."""
