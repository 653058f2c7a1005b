"""What the ECGs of each condition look like: written by a language model, audited against recordings."""
