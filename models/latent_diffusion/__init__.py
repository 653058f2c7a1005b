"""The generator: an autoencoder, priors and a denoiser in its latent, and a head for fine detail."""
