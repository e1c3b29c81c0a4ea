// The composed warp: from lattice nodes to the flat page, straight from the photo; and the map alone.
#include "lattice.cuh"
#include "sampling.cuh"

// (H, W, 2) float32 photo px of every output pixel, NaN where there is no lattice.
extern "C" __global__ void dense_map(
    const float* __restrict__ node, const unsigned char* __restrict__ blank, int columns, int cell_columns,
    const int* __restrict__ x_first, const int* __restrict__ x_cell, const float* __restrict__ x_weight,
    const int* __restrict__ y_first, const int* __restrict__ y_cell, const float* __restrict__ y_weight,
    float* __restrict__ map, int out_height, int out_width) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= out_width || row >= out_height) return;
    const Lattice lattice{node, blank, columns, cell_columns, {x_first, x_cell, x_weight}, {y_first, y_cell, y_weight}};
    float* at = map + 2 * (static_cast<size_t>(row) * out_width + column);
    if (!place(lattice, column, row, at, at + 1)) at[0] = at[1] = __int_as_float(0x7fc00000);  // NaN
}

template <class Taps>
static __device__ void flatten(
    const Lattice& lattice, const Source& from, int fill, u8* out, u8* seen, int out_height, int out_width) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= out_width || row >= out_height) return;
    float x, y;
    if (!place(lattice, column, row, &x, &y)) x = y = __int_as_float(0x7fc00000);  // NaN
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
        flatten<Taps>(Lattice{node, blank, columns, cell_columns, {x_first, x_cell, x_weight},                     \
                              {y_first, y_cell, y_weight}},                                                        \
                      Source{image, height, width, full_height, full_width, scale, shift}, fill, out, seen,        \
                      out_height, out_width);                                                                      \
    }

FLATTEN(flatten_nearest, Nearest)
FLATTEN(flatten_linear, Linear)
FLATTEN(flatten_cubic, Cubic)
FLATTEN(flatten_lanczos, Lanczos)
