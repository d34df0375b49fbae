"""The parts of docs/ that are written from the program: `make docs` writes them, a test holds them true."""
