"""The Keras model before conversion, as the reference."""
