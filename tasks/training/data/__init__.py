"""What training workers read: recordings, beats, conditions, latents and traits, prepared once by the driver."""
