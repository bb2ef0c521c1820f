"""PTX: kernels of the kernel language, emitted for NVIDIA GPUs, measured by `ptxas`, and built for the host."""
