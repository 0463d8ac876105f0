"""Choose and compare answers: training rows and preference pairs."""
