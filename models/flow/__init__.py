"""One flow-matching transformer from noise to eight leads."""
