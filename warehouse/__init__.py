"""Data at rest: source readers in, tables and catalog in the middle, releases out."""
