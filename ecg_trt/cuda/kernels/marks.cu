// Brings heatmaps of logits to page mm at 1 px/mm, through the grid found in them, as uint8 (255 = certain).
#include "grid_warp.cuh"

// The heatmap's value in a cell; 0 outside.
static __device__ float heat(const float* plane, int height, int width, int row, int column) {
    if (row < 0 || column < 0 || row >= height || column >= width) return 0.0f;
    return 1.0f / (1.0f + expf(-plane[row * width + column]));
}

// Nodes are in px of the network's canvas; cell k of a heatmap has its middle at canvas px stride * k + middle. What is
// less than `least` counts as 0. `out` (all planes, H, W) is written from plane `first` on; what is not 0 is
// listed too, in any order, as long as there is room: of most pages, the list is all that the host needs. An entry is
// 24 bits of index in `out`, and 8 of value above them: where `out` has more than 2^24 pixels, there must be no room.
extern "C" __global__ void marks(
    const float* __restrict__ node, const unsigned char* __restrict__ blank, int columns, int cell_columns,
    const int* __restrict__ x_first, const int* __restrict__ x_cell, const float* __restrict__ x_weight,
    const int* __restrict__ y_first, const int* __restrict__ y_cell, const float* __restrict__ y_weight,
    const float* __restrict__ logit, int planes, int height, int width, float stride, float middle,
    unsigned char* __restrict__ out, int out_height, int out_width, int first, int least, int* __restrict__ count,
    unsigned* __restrict__ found, int room) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= out_width || row >= out_height) return;
    const GridWarp grid{node, blank, columns, cell_columns, {x_first, x_cell, x_weight}, {y_first, y_cell, y_weight}};
    float px, py;
    bool seen = place(grid, column, row, &px, &py);
    const float x = (px - middle) / stride, y = (py - middle) / stride;
    seen = seen && x > -1.0f && y > -1.0f && x < width && y < height;
    const size_t area = static_cast<size_t>(out_height) * out_width;
    const size_t at = first * area + static_cast<size_t>(row) * out_width + column;
    if (!seen) {
        for (int k = 0; k < planes; ++k) out[k * area + at] = 0;
        return;
    }
    const int left = static_cast<int>(floorf(x)), top = static_cast<int>(floorf(y));
    const float tx = x - left, ty = y - top;
    for (int k = 0; k < planes; ++k) {
        const float* plane = logit + static_cast<size_t>(k) * height * width;
        const float upper = (1 - tx) * heat(plane, height, width, top, left) + tx * heat(plane, height, width, top, left + 1);
        const float lower = (1 - tx) * heat(plane, height, width, top + 1, left) + tx * heat(plane, height, width, top + 1, left + 1);
        const int value = static_cast<int>(rintf(255.0f * ((1 - ty) * upper + ty * lower)));
        out[k * area + at] = static_cast<unsigned char>(value < least ? 0 : value);
        if (value < least) continue;
        const int slot = atomicAdd(count, 1);
        if (slot < room) found[slot] = static_cast<unsigned>(k * area + at) | static_cast<unsigned>(value) << 24;
    }
}
