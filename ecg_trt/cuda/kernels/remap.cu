// Resamples a photo at the positions of a map, (h, w, 2) float32 photo px, NaN = nowhere.
#include "sampling.cuh"

template <class Taps>
static __device__ void remap(
    const Source& from, const float* map, int fill, u8* out, u8* seen, int out_height, int out_width) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= out_width || row >= out_height) return;
    const size_t at = static_cast<size_t>(row) * out_width + column;
    put<Taps>(from, map[2 * at], map[2 * at + 1], fill, out + 3 * at, seen + at);
}

#define REMAP(name, Taps)                                                                                          \
    extern "C" __global__ void name(                                                                               \
        const u8* __restrict__ image, int height, int width, int full_height, int full_width, float scale,         \
        float shift, const float* __restrict__ map, int fill, u8* __restrict__ out, u8* __restrict__ seen,         \
        int out_height, int out_width) {                                                                           \
        remap<Taps>(Source{image, height, width, full_height, full_width, scale, shift}, map, fill, out, seen,     \
                    out_height, out_width);                                                                        \
    }

REMAP(remap_nearest, Nearest)
REMAP(remap_linear, Linear)
REMAP(remap_cubic, Cubic)
REMAP(remap_lanczos, Lanczos)
