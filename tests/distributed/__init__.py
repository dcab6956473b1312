"""Training on several processes: under real mpirun, on loopback."""
