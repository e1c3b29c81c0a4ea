// Sees an image through a homography.
#include "sampling.cuh"
#include "view.cuh"

template <class Taps>
static __device__ void warp(
    const u8* image, int height, int width, const View& view, int fill, u8* out, int out_height, int out_width) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= out_width || row >= out_height) return;
    float x, y;
    view.source(column, row, &x, &y);
    u8* pixel = out + (static_cast<size_t>(row) * out_width + column) * 3;
    const float reach = Taps::taps;
    // NaN, on the horizon, is in no range.
    if (x > -reach && y > -reach && x < width + reach && y < height + reach) {
        sample<Taps, false>(image, height, width, x, y, static_cast<float>(fill), pixel);
    } else {
        for (int c = 0; c < 3; ++c) pixel[c] = static_cast<u8>(fill);
    }
}

#define WARP(name, Taps)                                                                                           \
    extern "C" __global__ void name(                                                                               \
        const u8* __restrict__ image, int height, int width, float cu, float cv, float x, float y, float xu,       \
        float xv, float yu, float yv, float du, float dv, int fill, u8* __restrict__ out, int out_height,          \
        int out_width) {                                                                                           \
        warp<Taps>(image, height, width, View{cu, cv, x, y, xu, xv, yu, yv, du, dv}, fill, out, out_height,        \
                   out_width);                                                                                     \
    }

WARP(warp_nearest, Nearest)
WARP(warp_linear, Linear)
WARP(warp_cubic, Cubic)
WARP(warp_lanczos, Lanczos)
