"""The science: pure PyTorch and NumPy. Knows nothing of Prefect, Ray, files or DuckDB."""
