"""The Dagster layer: definitions, resources, partitions, assets, checks, automation."""
