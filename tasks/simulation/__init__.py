"""The simulated dataset: recordings made by the simulator, in PTB-XL's own layout."""
