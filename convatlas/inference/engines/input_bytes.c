/* Floats of images to the bytes of a network in int8, channels last: one read, one write, where an engine makes a pass
 * for the rounding and another for the order.
 *
 * images: (n, channels, pixels), bytes: (n, pixels, channels); byte = value * factor + zero, rounded to even, held to
 * 0..255, and its highest bit turned where `flip` is 128: then it is a signed one. A NaN becomes 0.
 */
#include <stdint.h>
#include <string.h>

#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES 1
typedef uint8_t bytes16 __attribute__((vector_size(16)));
#endif
#endif

#define BLOCK 64 /* pixels whose bytes lie in the first cache between rounding and ordering */
#define CHANNELS 4

static inline void rounded(const float *restrict from, uint8_t *restrict to, long count, float factor, float zero,
                           uint8_t flip) {
    for (long i = 0; i < count; i++) {
        float v = from[i] * factor + zero;
        v = v > 0.0f ? v : 0.0f;
        v = v < 255.0f ? v : 255.0f;
        v += 8388608.0f; /* 2^23: the last bits are the whole number */
        uint32_t bits;
        memcpy(&bits, &v, 4);
        to[i] = (uint8_t)bits ^ flip;
    }
}

#ifdef SHUFFLES
/* Sixteen pixels of three planes, BLOCK apart, to 48 bytes. */
static inline void interleaved(const uint8_t *restrict plane, uint8_t *restrict to) {
    bytes16 r, g, b, two, three;
    memcpy(&r, plane, 16);
    memcpy(&g, plane + BLOCK, 16);
    memcpy(&b, plane + 2 * BLOCK, 16);
    two = __builtin_shufflevector(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
    three = __builtin_shufflevector(two, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15);
    memcpy(to, &three, 16);
    two = __builtin_shufflevector(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
    three = __builtin_shufflevector(two, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15);
    memcpy(to + 16, &three, 16);
    two = __builtin_shufflevector(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
    three = __builtin_shufflevector(two, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31);
    memcpy(to + 32, &three, 16);
}
#endif

void to_bytes(const float *images, uint8_t *bytes, long n, long channels, long pixels, float factor, float zero,
              int flip) {
    uint8_t planes[CHANNELS * BLOCK];
    for (long i = 0; i < n; i++)
        for (long first = 0; first < channels; first += CHANNELS) {
            long here = channels - first < CHANNELS ? channels - first : CHANNELS;
            const float *from = images + (i * channels + first) * pixels;
            uint8_t *to = bytes + i * channels * pixels + first;
            for (long p = 0; p < pixels; p += BLOCK) {
                long count = pixels - p < BLOCK ? pixels - p : BLOCK, k = 0;
                for (long c = 0; c < here; c++)
                    rounded(from + c * pixels + p, planes + c * BLOCK, count, factor, zero, (uint8_t)flip);
#ifdef SHUFFLES
                if (channels == 3)
                    for (; k + 16 <= count; k += 16) interleaved(planes + k, to + (p + k) * 3);
#endif
                for (; k < count; k++)
                    for (long c = 0; c < here; c++) to[(p + k) * channels + c] = planes[c * BLOCK + k];
            }
        }
}
