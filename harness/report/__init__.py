"""What a call returns, and its text. The kernel validator's words are in lockorder/splat.py."""
