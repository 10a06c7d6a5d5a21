"""Coverage-guided fuzzing of everything that reads octets from outside. What is here and how to run it: README.md."""
