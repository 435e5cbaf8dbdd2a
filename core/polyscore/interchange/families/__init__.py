"""Which process, sampler, grid and readout each family of diffusers schedulers is: one function a class."""
