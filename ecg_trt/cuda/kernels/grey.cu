// (H, W, 3) uint8 RGB to grey, with the integer weights of OpenCV.
extern "C" __global__ void grey(const unsigned char* __restrict__ image, unsigned char* __restrict__ out, int pixels) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= pixels) return;
    const unsigned char* rgb = image + 3 * static_cast<size_t>(at);
    out[at] = static_cast<unsigned char>((9798 * rgb[0] + 19235 * rgb[1] + 3735 * rgb[2] + (1 << 14)) >> 15);
}
