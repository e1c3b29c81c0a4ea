// Where an output pixel lies in the photo, from the nodes of a grid.
#pragma once

// The taps of one axis of the output: for each of its pixels the first of four nodes, their weights, and the cell.
// They come from geometry.grid.axis_taps, the same that the CPU uses; nodes are padded to at least 4 x 4.
struct Axis {
    const int* first;
    const int* cell;      // -1 outside the grid
    const float* weight;  // (n, 4)
};

struct GridWarp {
    const float* node;           // (rows, columns, 2) photo px
    const unsigned char* blank;  // (cell rows, cell columns), not 0 where a corner of the cell is missing
    int columns, cell_columns;
    Axis x, y;
};

// False outside the grid and in blank cells. Sums run over distances from one node, so that float32 is enough
// whatever the size of the photo.
static __device__ bool place(const GridWarp& grid, int column, int row, float* px, float* py) {
    const int cx = grid.x.cell[column], cy = grid.y.cell[row];
    if (cx < 0 || cy < 0 || grid.blank[cy * grid.cell_columns + cx]) return false;
    const float* wx = grid.x.weight + 4 * column;
    const float* wy = grid.y.weight + 4 * row;
    const float* base = grid.node + 2 * (grid.y.first[row] * grid.columns + grid.x.first[column]);
    const float x0 = base[0], y0 = base[1];
    float dx = 0.0f, dy = 0.0f;
    for (int j = 0; j < 4; ++j) {
        const float* line = base + 2 * j * grid.columns;
        float along_x = 0.0f, along_y = 0.0f;
        for (int i = 0; i < 4; ++i) {
            along_x += wx[i] * (line[2 * i] - x0);
            along_y += wx[i] * (line[2 * i + 1] - y0);
        }
        dx += wy[j] * along_x;
        dy += wy[j] * along_y;
    }
    *px = x0 + dx;
    *py = y0 + dy;
    return true;
}
