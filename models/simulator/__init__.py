"""The differentiable 12-lead heart simulator, its rhythms and beats, and fits of it to recordings."""
