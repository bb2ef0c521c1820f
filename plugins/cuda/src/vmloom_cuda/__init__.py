"""The CUDA accelerator: kernels of the kernel language as PTX, on a GPU or in an emulator."""
