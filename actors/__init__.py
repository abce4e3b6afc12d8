"""The parts of the mesh that run as Ray actors: each a pure machine that decides and a thin shell that acts."""
