"""How each network of the generator is trained: its data, objective and weights."""
