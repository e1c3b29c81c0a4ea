// (H, W, 3) uint8 RGB to grey.
#include "colour.cuh"

extern "C" __global__ void grey(const unsigned char* __restrict__ image, unsigned char* __restrict__ out, int pixels) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < pixels) out[at] = grey_of(image + 3 * static_cast<size_t>(at));
}
