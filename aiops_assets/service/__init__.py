"""The ML service: what the engine, KServe's tools and a person with curl ask over HTTP."""
