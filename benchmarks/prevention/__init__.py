"""The trade-off between privacy and utility of the prior of beats (`python -m benchmarks.prevention`)."""
