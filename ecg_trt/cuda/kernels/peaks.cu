// Peaks of a heatmap of logits: what is as high as its 3 x 3 neighbourhood and higher than a threshold.

static __device__ float sigmoid(float logit) { return 1.0f / (1.0f + expf(-logit)); }

struct Peak {
    unsigned index;  // row * width + column; peaks come in any order, and the host sorts them by it
    float x, y, score;
};

// The list has room for every cell.
extern "C" __global__ void peaks(
    const float* __restrict__ logit, const float* __restrict__ offset, int height, int width, float threshold,
    float most, int* __restrict__ count, Peak* __restrict__ found) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= width || row >= height) return;
    const int at = row * width + column;
    const float here = sigmoid(logit[at]);
    if (!(here > threshold)) return;
    for (int y = max(row - 1, 0); y <= min(row + 1, height - 1); ++y) {
        for (int x = max(column - 1, 0); x <= min(column + 1, width - 1); ++x) {
            if (sigmoid(logit[y * width + x]) > here) return;
        }
    }
    const int slot = atomicAdd(count, 1);
    found[slot] = Peak{static_cast<unsigned>(at), column + fminf(fmaxf(offset[at], -most), most),
                       row + fminf(fmaxf(offset[height * width + at], -most), most), here};
}
