"""The stages: Prefect tasks and the Ray jobs they launch; glue between models and warehouse."""
