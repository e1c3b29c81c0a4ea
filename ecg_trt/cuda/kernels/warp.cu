// Sees an image through a homography.
#include "sampling.cuh"
#include "view.cuh"

// The view lies at the top left of its room; the rest of that is filled.
template <class Taps>
static __device__ void warp(
    const u8* image, int height, int width, const View& view, int fill, u8* out, int out_height, int out_width,
    int room_height, int room_width) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= room_width || row >= room_height) return;
    float x, y;
    view.source(column, row, &x, &y);
    u8* pixel = out + (static_cast<size_t>(row) * room_width + column) * 3;
    const float reach = Taps::taps;
    const bool inside = column < out_width && row < out_height;
    // NaN, on the horizon, is in no range.
    if (inside && x > -reach && y > -reach && x < width + reach && y < height + reach) {
        sample<Taps, false>(image, height, width, x, y, static_cast<float>(fill), pixel);
    } else {
        for (int c = 0; c < 3; ++c) pixel[c] = static_cast<u8>(fill);
    }
}

#define WARP(name, Taps)                                                                                           \
    extern "C" __global__ void name(                                                                               \
        const u8* __restrict__ image, int height, int width, float cu, float cv, float x, float y, float xu,       \
        float xv, float yu, float yv, float du, float dv, int fill, u8* __restrict__ out, int out_height,          \
        int out_width, int room_height, int room_width) {                                                          \
        warp<Taps>(image, height, width, View{cu, cv, x, y, xu, xv, yu, yv, du, dv}, fill, out, out_height,        \
                   out_width, room_height, room_width);                                                            \
    }

WARP(warp_linear, Linear)
WARP(warp_cubic, Cubic)
