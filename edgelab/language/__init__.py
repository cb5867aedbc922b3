"""Text for networks: words and their vocabulary file, reviews to learn from, three small networks, a fused LSTM."""
