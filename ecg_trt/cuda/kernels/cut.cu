// Cuts windows of one size out of an (H, W, 3) uint8 page; grey where a window reaches beyond it.

// A thread four bytes of a row, so that it writes whole words; 3 * tile_width is a multiple of 4.
extern "C" __global__ void cut(
    const unsigned char* __restrict__ page, int height, int width, const int* __restrict__ top_left, int fill,
    uchar4* __restrict__ tiles, int tile_height, int tile_width) {
    const int word = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    const int words = 3 * tile_width / 4, tile = blockIdx.z;
    if (word >= words || row >= tile_height) return;
    const int y = top_left[2 * tile] + row, left = 3 * top_left[2 * tile + 1] + 4 * word;
    const unsigned char* line = page + static_cast<long long>(y) * width * 3;
    unsigned char four[4];
    for (int k = 0; k < 4; ++k) {
        const bool inside = y >= 0 && y < height && left + k >= 0 && left + k < 3 * width;
        four[k] = inside ? line[left + k] : static_cast<unsigned char>(fill);
    }
    tiles[(static_cast<size_t>(tile) * tile_height + row) * words + word] =
        make_uchar4(four[0], four[1], four[2], four[3]);
}
