/* The largest of each window, channels last: torch's also notes where it was, for a gradient that nobody takes here.
 *
 * x: (n, height, width, channels), y: (n, rows, columns, channels). What lies outside of the picture is in no window. A
 * NaN stays a NaN. The file includes itself for each type: float, and bfloat16, the upper half of a float.
 */
#ifndef VALUE
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

static inline float from_f32(float v) { return v; }
static inline float from_bf16(bf16 v) {
    uint32_t bits = (uint32_t)v << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

#define VALUE float
#define KIND f32
#include "pool_kernels.c"
#undef VALUE
#undef KIND
#define VALUE bf16
#define KIND bf16
#include "pool_kernels.c"

#else

void JOIN(max_pool, KIND)(const VALUE *x, VALUE *y, long n, long height, long width, long channels, long rows,
                          long columns, long tall, long wide, long down, long along, long top, long left,
                          int threads) {
    (void)threads; /* without OpenMP there is one */
#pragma omp parallel for collapse(2) num_threads(threads) if (threads > 1)
    for (long i = 0; i < n; i++)
        for (long row = 0; row < rows; row++)
            for (long column = 0; column < columns; column++) {
                VALUE *restrict to = y + ((i * rows + row) * columns + column) * channels;
                long y0 = row * down - top, x0 = column * along - left, first = 1;
                for (long v = y0 > 0 ? y0 : 0; v < y0 + tall && v < height; v++)
                    for (long u = x0 > 0 ? x0 : 0; u < x0 + wide && u < width; u++) {
                        const VALUE *restrict from = x + ((i * height + v) * width + u) * channels;
                        if (first)
                            memcpy(to, from, channels * sizeof(VALUE));
                        else
                            for (long c = 0; c < channels; c++) {
                                float old = JOIN(from, KIND)(to[c]), new = JOIN(from, KIND)(from[c]);
                                to[c] = new > old || new != new ? from[c] : to[c];
                            }
                        first = 0;
                    }
            }
}
#endif
