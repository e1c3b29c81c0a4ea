// What lies beyond an image's rim.
#pragma once

// The pixel that stands for pixel k of n: the image continued by its mirror, the rim itself not repeated.
static __device__ int mirrored(int k, int n) {
    while (k < 0 || k >= n) k = n == 1 ? 0 : (k < 0 ? -k : 2 * n - 2 - k);
    return k;
}
