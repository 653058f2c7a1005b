"""Attacks on a model: what its prior is asked, and losses of shadow models, each trained by a Ray task of its own."""
