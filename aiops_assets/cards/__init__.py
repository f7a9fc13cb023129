"""Model cards: Markdown and pictures rendered from manifest, evaluation and shadow scores; no model is loaded."""
