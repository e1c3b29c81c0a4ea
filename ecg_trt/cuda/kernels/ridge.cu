// From the logits of the trace network (n, H, W) to the pen's row in each column.
//
// Several passes, so that no thread waits for another: the first looks at a chunk of rows of a column, the second brings
// the chunks of a column together, the third walks from column to column, the last collects what lies on the walk.
// Threads of a warp stand side by side in x and read neighbouring columns.

static constexpr int kCandidates = 6;  // RIDGE_CANDIDATES in geometry/ridge.py

static constexpr float kLeast = -3e38f;  // a sum of exp(logit - it) holds logits of minus infinity, too

static __device__ float lowest() { return __int_as_float(0xff800000); }  // minus infinity

// Puts a value into a list of the highest, best first; of equals, the upper row stays in front.
static __device__ void insert(float* value, int* row, float new_value, int new_row) {
    if (!(new_value > value[kCandidates - 1])) return;
    int k = kCandidates - 1;
    for (; k > 0 && new_value > value[k - 1]; --k) {
        value[k] = value[k - 1];
        row[k] = row[k - 1];
    }
    value[k] = new_value;
    row[k] = new_row;
}

// Logits of one column of one tile, less the price of letters.
struct Column {
    const float* logit;
    int height, stride;
    const unsigned char* mask;  // at the column's own column, or null
    const int* mask_row;
    int mask_width;
    float price;

    __device__ float priced(int row) const {
        if (row < 0 || row >= height) return lowest();
        const float value = logit[static_cast<size_t>(row) * stride];
        return mask && mask[mask_row[row] * mask_width] ? value - price : value;
    }
};

// Each chunk's highest local maxima (n, chunks, K, W), and (n, chunks, 2, W): its greatest logit and the sum of
// exp(logit - greatest). `mask` may be null.
extern "C" __global__ void ridge_chunks(
    const float* __restrict__ logits, int height, int width, int chunk_rows, const unsigned char* __restrict__ mask,
    int mask_width, const int* __restrict__ mask_row, const int* __restrict__ mask_column, float price,
    float* __restrict__ value, int* __restrict__ row, float* __restrict__ mass) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, chunk = blockIdx.y, tile = blockIdx.z;
    if (x >= width) return;
    const float* logit = logits + static_cast<size_t>(tile) * height * width + x;
    const Column column{logit, height, width, mask ? mask + mask_column[tile * width + x] : nullptr,
                        mask_row + tile * height, mask_width, price};
    float best[kCandidates];
    int where[kCandidates];
    for (int k = 0; k < kCandidates; ++k) {
        best[k] = lowest();
        where[k] = 0;
    }
    const int start = chunk * chunk_rows, end = min(start + chunk_rows, height);
    float before = column.priced(start - 1), here = column.priced(start);
    float top = kLeast, sum = 0.0f;
    for (int y = start; y < end; ++y) {
        const float after = column.priced(y + 1);
        if (here >= before && here > after) insert(best, where, here, y);
        const float raw = logit[static_cast<size_t>(y) * width];
        if (raw > top) {
            sum *= expf(top - raw);
            top = raw;
        }
        sum += expf(raw - top);
        before = here;
        here = after;
    }
    const size_t slot = static_cast<size_t>(tile) * gridDim.y + chunk;
    for (int k = 0; k < kCandidates; ++k) {
        value[(slot * kCandidates + k) * width + x] = best[k];
        row[(slot * kCandidates + k) * width + x] = where[k];
    }
    mass[slot * 2 * width + x] = top;
    mass[(slot * 2 + 1) * width + x] = sum;
}

// For each candidate (n, K, W): its row; its height relative to the column's best, minus infinity where there are
// fewer; the expectation of the softmax in the window around it, px; and the window's share of the column's
// softmax, 0 where the logits overflowed (infinite, or NaN), whose position is the row. Letters have no price here.
extern "C" __global__ void ridge_merge(
    const float* __restrict__ logits, int height, int width, int chunks, int half_window,
    const float* __restrict__ value, const int* __restrict__ row, const float* __restrict__ mass,
    short* __restrict__ out_row, float* __restrict__ out_score, float* __restrict__ out_position,
    float* __restrict__ out_share) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, tile = blockIdx.y;
    if (x >= width) return;
    float best[kCandidates];
    int where[kCandidates];
    for (int k = 0; k < kCandidates; ++k) {
        best[k] = lowest();
        where[k] = 0;
    }
    float top = lowest();
    for (int chunk = 0; chunk < chunks; ++chunk) {
        const size_t slot = static_cast<size_t>(tile) * chunks + chunk;
        for (int k = 0; k < kCandidates; ++k) {
            const size_t at = (slot * kCandidates + k) * width + x;
            insert(best, where, value[at], row[at]);
        }
        top = fmaxf(top, mass[slot * 2 * width + x]);
    }
    float total = 0.0f;
    for (int chunk = 0; chunk < chunks; ++chunk) {
        const size_t slot = static_cast<size_t>(tile) * chunks + chunk;
        total += mass[(slot * 2 + 1) * width + x] * expf(mass[slot * 2 * width + x] - top);
    }
    const float* logit = logits + static_cast<size_t>(tile) * height * width + x;
    for (int k = 0; k < kCandidates; ++k) {
        const bool there = best[k] > lowest();
        const int centre = there ? where[k] : where[0];
        const int start = max(centre - half_window, 0), end = min(centre + half_window, height - 1);
        float highest = lowest();
        for (int y = start; y <= end; ++y) highest = fmaxf(highest, logit[static_cast<size_t>(y) * width]);
        float near = 0.0f, moment = 0.0f;
        for (int y = start; y <= end; ++y) {
            const float weight = expf(logit[static_cast<size_t>(y) * width] - highest);
            near += weight;
            moment += weight * (y - centre);
        }
        const size_t at = (static_cast<size_t>(tile) * kCandidates + k) * width + x;
        out_row[at] = static_cast<short>(centre);
        out_score[at] = there ? best[k] - best[0] : lowest();
        const float part = near * expf(highest - top) / total;
        const bool known = part > 0.0f;  // NaN is not
        out_position[at] = static_cast<float>(centre) + (known ? moment / near : 0.0f);
        out_share[at] = known ? fminf(part, 1.0f) : 0.0f;
    }
}

// The greatest of K values, and which it is; of equals, the first. Loops of fixed length keep arrays in registers.
template <class Value>
static __device__ float greatest(const Value& value, unsigned* which) {
    float best = value(0);
    *which = 0;
#pragma unroll
    for (int j = 1; j < kCandidates; ++j) {
        const float here = value(j);
        if (here > best) {
            best = here;
            *which = j;
        }
    }
    return best;
}

// What a jump between rows costs; rows are counted in units that make the dearest jump 1 longer than the free one, so
// that it is a saturated sum.
struct Prices {
    float unit, free, most, least;

    __device__ float of(float rows) const { return most * __saturatef(fabsf(rows) - free); }
};

// Walks a tile's candidates (K, W) from left to right. `back` (W) takes for each candidate its best predecessor, 3 bits
// each; returns the candidate at which the best path ends. Sums stay in registers, and are counted from that of the
// first candidate, so that float32 is enough however long the tile.
static __device__ unsigned walk(
    const short* __restrict__ row, const float* __restrict__ score, int width, const Prices& price,
    unsigned* __restrict__ back) {
    float at[kCandidates], total[kCandidates], next_row[kCandidates], next_score[kCandidates];
    const int second = min(1, width - 1);
    for (int k = 0; k < kCandidates; ++k) {
        at[k] = row[k * width] * price.unit;
        total[k] = fmaxf(score[k * width], price.least);
        next_row[k] = row[k * width + second];
        next_score[k] = score[k * width + second];
    }
#pragma unroll 1
    for (int x = 1; x < width; ++x) {
        float here[kCandidates], reach[kCandidates];
        const int ahead = min(x + 1, width - 1);  // read one column early: nothing waits for memory
        unsigned word = 0;
#pragma unroll
        for (int k = 0; k < kCandidates; ++k) {
            here[k] = next_row[k] * price.unit;
            const float gain = fmaxf(next_score[k], price.least);
            next_row[k] = row[k * width + ahead];
            next_score[k] = score[k * width + ahead];
            unsigned from = 0;
            const float best = greatest([&](int j) { return total[j] - price.of(here[k] - at[j]); }, &from);
            word |= from << (3 * k);
            reach[k] = best + gain;
        }
        for (int k = 0; k < kCandidates; ++k) {
            total[k] = reach[k] - reach[0];
            at[k] = here[k];
        }
        back[x] = word;
    }
    unsigned end = 0;
    greatest([&](int j) { return total[j]; }, &end);
    return end;
}

// The connected path through the candidates, (n, W) which of them, as geometry.ridge.ridge_path finds it (Viterbi,
// 1967). Each column waits for the one before: one thread a tile, alone in its block, so that tiles do not wait for each
// other's memory.
extern "C" __global__ void ridge_path(
    const short* __restrict__ row, const float* __restrict__ score, int width, float free_rows, float jump_price,
    float most_price, float least, unsigned* __restrict__ back, unsigned char* __restrict__ chosen) {
    static_assert(kCandidates <= 8, "3 bits name one of 8");
    const size_t candidates = static_cast<size_t>(blockIdx.x) * kCandidates * width;
    back += static_cast<size_t>(blockIdx.x) * width;
    chosen += static_cast<size_t>(blockIdx.x) * width;
    const float unit = jump_price / most_price;
    const Prices price{unit, free_rows * unit, most_price, least};
    unsigned k = walk(row + candidates, score + candidates, width, price, back);
    chosen[width - 1] = static_cast<unsigned char>(k);
    constexpr int batch = 8;  // words that are read before the first is needed
    for (int x = width - 1; x > 0; x -= batch) {
        unsigned word[batch];
        for (int b = 0; b < batch; ++b) word[b] = back[max(x - b, 1)];
        for (int b = 0; b < batch && x - b > 0; ++b) {
            k = word[b] >> (3 * k) & 7;
            chosen[x - b - 1] = static_cast<unsigned char>(k);
        }
    }
}

// (2, n, W): position and share of the candidates that were chosen.
extern "C" __global__ void ridge_gather(
    const unsigned char* __restrict__ chosen, const float* __restrict__ position, const float* __restrict__ share,
    int tiles, int width, float* __restrict__ out) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, tile = blockIdx.y;
    if (x >= width) return;
    const size_t to = static_cast<size_t>(tile) * width + x;
    const size_t at = (static_cast<size_t>(tile) * kCandidates + chosen[to]) * width + x;
    out[to] = position[at];
    out[static_cast<size_t>(tiles) * width + to] = share[at];
}
