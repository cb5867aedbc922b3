"""Chapter 0: right answers, and the mistakes that students make, each with words of the hint it must get."""

SOLUTIONS = {"00.1": 32 * 32 * 3 * 3 * 3 * 16}

WRONG = (
    ("00.1", 32 * 32 * 9 * 16, "all three colours"),
    ("00.1", 32 * 32 * 27, "16 filters"),
    ("00.1", 27 * 16, "32 x 32 pixels"),
    ("00.1", 2 * 32 * 32 * 27 * 16, "counted once"),
    ("00.1", 1000, "0.00226 times the work"),
    ("00.1", "many", "could not be checked"),
)
