"""The laboratory: scenarios on the model, run by the harness. Nothing of the model imports it."""
