"""Long runs under faults: chaos and soak, and the short forms of both that belong to the test suite."""
