"""What an ECG shows: R peaks, beats, wave boundaries, measurements and signal quality."""
