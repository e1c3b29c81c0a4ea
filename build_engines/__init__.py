"""From a network to plans: FP16 ONNX, TensorRT's builder, and the comparison with the FP32 network on the CPU.

`ecg-trt build` is a thin shell around `jobs`. Installed with the extra `build`, and `rtx` or `trt`.
"""
