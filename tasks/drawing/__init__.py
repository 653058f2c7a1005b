"""Pictures: ECG paper, charts of the report, learning curves."""
