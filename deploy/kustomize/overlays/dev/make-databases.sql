-- The image runs this once, on an empty volume. Dagster's database it makes by itself, of the user's name.
CREATE DATABASE mlflow;
