"""The calls: run, force, predict, explore, stress and replay."""
