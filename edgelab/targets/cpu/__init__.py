"""The processor itself: LiteRT and XNNPACK."""
