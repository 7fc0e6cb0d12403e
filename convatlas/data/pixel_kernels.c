/* Bytes to the floats that a network takes, mirrored where a picture is to be: one read and one write of each value.
 *
 * pixels, out: (n, height, width, channels); mirror: (n,), 0 or 1; factor, offset: (channels,);
 * out = pixel * factor + offset. 0, or 1 where memory ran out.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES 1
typedef uint8_t bytes16 __attribute__((vector_size(16)));
#endif
#endif

/* Pixels of three bytes from right to left: five at a time, where the compiler knows a vector's shuffle. `to` has room for
 * 16 bytes more than the line. */
static void mirror3(const uint8_t *restrict from, uint8_t *restrict to, long width) {
    long x = 0;
#ifdef SHUFFLES
    for (; x + 6 <= width; x += 5) { /* from a byte before the five: behind the last pixel nothing may be read */
        bytes16 five;
        memcpy(&five, from + 3 * (width - 5 - x) - 1, 16);
        five = __builtin_shufflevector(five, five, 13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, 0);
        memcpy(to + 3 * x, &five, 16);
    }
#endif
    for (; x < width; x++) memcpy(to + 3 * x, from + 3 * (width - 1 - x), 3);
}

int flip_normalize(const uint8_t *pixels, float *out, long n, long height, long width, long channels,
                   const uint8_t *mirror, const float *factor, const float *offset, int threads) {
    (void)threads; /* without OpenMP there is one */
    long line = width * channels, failed = 0;
    /* a row's factors and offsets: a loop over three channels alone is too short for vector units */
    float *factors = malloc(2 * (size_t)line * sizeof(float)), *offsets = factors + line;
    if (!factors) return 1;
    for (long i = 0; i < line; i++) factors[i] = factor[i % channels], offsets[i] = offset[i % channels];
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        uint8_t *turned = malloc(line + 16);
        if (!turned) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for collapse(2)
        for (long i = 0; i < n; i++)
            for (long y = 0; y < height; y++) {
                const uint8_t *restrict from = pixels + (i * height + y) * line;
                float *restrict to = out + (i * height + y) * line;
                if (mirror[i] && turned) {
                    const uint8_t *last = from + line - channels;
                    if (channels == 3)
                        mirror3(from, turned, width);
                    else
                        for (long x = 0; x < width; x++) memcpy(turned + x * channels, last - x * channels, channels);
                    from = turned;
                }
                for (long k = 0; k < line; k++) to[k] = from[k] * factors[k] + offsets[k];
            }
        free(turned);
    }
    free(factors);
    return (int)failed;
}
