// The composed warp: from grid nodes to the flat page, straight from the photo.
#include "grid_warp.cuh"
#include "sampling.cuh"

// A photo as it is, or averaged over factor x factor px, and where the whole photo's pixels lie in it.
struct Source {
    const u8* image;
    int height, width;            // of `image`
    int full_height, full_width;  // of the photo
    float scale, shift;           // image px = scale * photo px + shift
};

// One output pixel, seen at photo px (x, y), NaN = nowhere; borders are replicated.
template <class Taps>
static __device__ void put(const Source& from, float x, float y, int fill, u8* __restrict__ out, u8* __restrict__ seen) {
    const bool inside = x >= -0.5f && y >= -0.5f && x <= from.full_width - 0.5f && y <= from.full_height - 0.5f;
    *seen = inside;
    if (inside) {
        sample<Taps, true>(from.image, from.height, from.width, x * from.scale + from.shift,
                           y * from.scale + from.shift, 0.0f, out);
    } else {
        for (int c = 0; c < 3; ++c) out[c] = static_cast<u8>(fill);
    }
}

template <class Taps>
static __device__ void flatten(
    const GridWarp& grid, const Source& from, int fill, u8* out, u8* seen, int out_height, int out_width) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= out_width || row >= out_height) return;
    float x, y;
    if (!place(grid, column, row, &x, &y)) x = y = __int_as_float(0x7fc00000);  // NaN
    const size_t at = static_cast<size_t>(row) * out_width + column;
    put<Taps>(from, x, y, fill, out + 3 * at, seen + at);
}

#define FLATTEN(name, Taps)                                                                                        \
    extern "C" __global__ void name(                                                                               \
        const float* __restrict__ node, const unsigned char* __restrict__ blank, int columns, int cell_columns,    \
        const int* __restrict__ x_first, const int* __restrict__ x_cell, const float* __restrict__ x_weight,       \
        const int* __restrict__ y_first, const int* __restrict__ y_cell, const float* __restrict__ y_weight,       \
        const u8* __restrict__ image, int height, int width, int full_height, int full_width, float scale,         \
        float shift, int fill, u8* __restrict__ out, u8* __restrict__ seen, int out_height, int out_width) {       \
        flatten<Taps>(GridWarp{node, blank, columns, cell_columns, {x_first, x_cell, x_weight},                    \
                               {y_first, y_cell, y_weight}},                                                       \
                      Source{image, height, width, full_height, full_width, scale, shift}, fill, out, seen,        \
                      out_height, out_width);                                                                      \
    }

FLATTEN(flatten_linear, Linear)
FLATTEN(flatten_cubic, Cubic)
