"""Beats of people as events of the simulator: fitted to recordings, drawn for conditions."""
