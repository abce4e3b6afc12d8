"""The parts of the mesh that run as Ray actors: a machine that decides, a shell that acts."""
