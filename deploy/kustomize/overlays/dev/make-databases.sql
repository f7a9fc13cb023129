-- The image runs this once, on an empty volume: one database each for Dagster and MLflow, of one user.
CREATE DATABASE dagster;
CREATE DATABASE mlflow;
