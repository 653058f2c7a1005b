"""The privacy audit of a cohort: attacks on what would be released, and the bounds of the gate."""
