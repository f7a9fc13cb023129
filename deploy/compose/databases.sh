#!/bin/sh
# Makes a role and a database of its own for Dagster and for MLflow; PostgreSQL's image runs it on an empty volume.
set -eu
for name in dagster mlflow; do
  # The password reaches psql by its environment and as a quoted literal: not as an argument, not in its echo.
  PASSWORD="$(cat "${SECRETS:-/run/secrets}/$name-password")" \
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set name="$name" --username "${POSTGRES_USER:-postgres}" <<'SQL'
\getenv password PASSWORD
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
