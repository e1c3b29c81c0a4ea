// What lies beyond an image's rim.
#pragma once

// The pixel that stands for pixel k of n: the image continued by its mirror, the rim itself not repeated.
static __device__ int mirrored(int k, int n) {
    while (k < 0 || k >= n) k = n == 1 ? 0 : (k < 0 ? -k : 2 * n - 2 - k);
    return k;
}

// Calls tap(k) for the 2 * reach + 1 pixels around `at`, in order; only beside the rim does a tap cost a look for it.
template <class Tap>
static __device__ void around(int at, int reach, int n, const Tap& tap) {
    if (at >= reach && at + reach < n) {
        for (int k = at - reach; k <= at + reach; ++k) tap(k);
    } else {
        for (int k = at - reach; k <= at + reach; ++k) tap(mirrored(k, n));
    }
}
