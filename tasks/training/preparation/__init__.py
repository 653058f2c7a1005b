"""What the driver computes once before networks are trained."""
