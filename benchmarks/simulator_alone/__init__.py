"""The simulator alone, without a network: recorded beats in new rhythms, what the ablation compares its arms with."""
