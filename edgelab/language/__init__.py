"""Text for networks: a vocabulary that ships, reviews to learn from, three networks, a fused LSTM."""
