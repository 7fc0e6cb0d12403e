/* Bytes to the floats that a network takes, mirrored where a picture is to be: one read and one write of each value.
 *
 * pixels, out: (n, height, width, channels); mirror: (n,), 0 or 1; factor, offset: (channels,);
 * out = pixel * factor + offset. 0, or 1 where memory ran out.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
        uint8_t *turned = malloc(line);
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
                    if (channels == 3) /* of a length that the compiler knows */
                        for (long x = 0; x < width; x++) memcpy(turned + 3 * x, last - 3 * x, 3);
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
