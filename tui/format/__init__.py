"""Engine values as text and rows, without widgets."""
