"""Train a model from tables: supervised fine-tuning and direct preference optimisation with TRL."""
