"""From a network to plans, and from kernels to cubins.

FP16 ONNX, TensorRT's builder, NVRTC, and the comparison with the FP32 network on the CPU. `ecg-trt build` is a thin
shell around `jobs`. Installed with the extra `build`, and `rtx` or `trt`.
"""
