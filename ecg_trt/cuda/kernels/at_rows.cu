// One value a column of a plane: out[k][x] = plane[row[k][x]][x].
extern "C" __global__ void at_rows(
    const unsigned char* __restrict__ plane, const int* __restrict__ row, int count, int width,
    unsigned char* __restrict__ out) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, k = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || k >= count) return;
    const size_t at = static_cast<size_t>(k) * width + x;
    out[at] = plane[static_cast<size_t>(row[at]) * width + x];
}
