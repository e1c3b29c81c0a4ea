// Averages an (H, W, 3) uint8 image over factor x factor pixels; a rest at the rim is left out.

// A thread an output byte: neighbours in x read neighbouring bytes.
extern "C" __global__ void reduce(
    const unsigned char* __restrict__ image, int width, int factor, unsigned char* __restrict__ out, int out_height,
    int out_width) {
    const int byte = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (byte >= 3 * out_width || y >= out_height) return;
    const size_t stride = static_cast<size_t>(width) * 3;
    const unsigned char* from = image + y * factor * stride + byte / 3 * factor * 3 + byte % 3;
    int sum = 0;
    for (int j = 0; j < factor; ++j) {
        for (int i = 0; i < factor; ++i) sum += from[j * stride + 3 * i];
    }
    const int area = factor * factor;
    out[static_cast<size_t>(y) * out_width * 3 + byte] = static_cast<unsigned char>((sum + area / 2) / area);
}
