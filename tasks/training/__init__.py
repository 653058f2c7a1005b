"""Training of the generator through Ray Train."""
