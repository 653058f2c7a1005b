"""Scripts to read and run cell by cell: one thing that a user of the warehouse, or a developer, does from Python."""
