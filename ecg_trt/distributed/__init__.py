"""Many machines: archives on Ray, and a model repository for NVIDIA Triton."""
