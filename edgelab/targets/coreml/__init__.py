"""Apple's Core ML."""
