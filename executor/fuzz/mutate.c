/*
 * A driver for fuzz/decoder.c that needs no fuzzing engine: mutates seed files in a fixed order of its own random numbers.
 *
 *     fuzz-decoder SECONDS SEED-FILE...     prints the number of inputs; crashes where the decoder does
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_LIMIT (1u << 18)
#define SEEDS_LIMIT 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seed {
	uint8_t *bytes;
	size_t size;
};

static struct seed seeds[SEEDS_LIMIT];
static size_t seed_count;
static uint64_t state = 0x9e3779b97f4a7c15u;

/* xorshift64: the same numbers in every run. */
static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void read_seed(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = malloc(INPUT_LIMIT);

	if (file == NULL || bytes == NULL || seed_count == SEEDS_LIMIT) {
		perror(path);
		exit(2);
	}
	seeds[seed_count].bytes = bytes;
	seeds[seed_count].size = fread(bytes, 1, INPUT_LIMIT, file);
	seed_count++;
	fclose(file);
}

/* One change; lengths and counts are small words, so most changes are to words. `*size` stays within the limit. */
static void mutate(uint8_t *bytes, size_t *size)
{
	static const uint32_t words[] = { 0,   1,   7,	  8,	 9,	     15,	 16,	     127,
					  255, 256, 4095, 65535, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };
	size_t at = next() % *size;
	uint32_t word = words[next() % (sizeof(words) / sizeof(words[0]))];

	switch (next() % 6) {
	case 0:
		bytes[at] ^= (uint8_t)(1u << next() % 8);
		break;
	case 1:
		bytes[at] = (uint8_t)next();
		break;
	case 2:
		if (at + 4 <= *size)
			memcpy(bytes + at, &word, 4);
		break;
	case 3:
		if (at / 8 * 8 + 8 <= *size)
			bytes[at / 8 * 8 + 4] = (uint8_t)(bytes[at / 8 * 8 + 4] + (next() % 2 == 0 ? 8 : -8));
		break;
	case 4:
		*size = at + 1;
		break;
	default: {
		size_t from = next() % *size;
		size_t length = next() % 64;

		if (from + length <= *size && at + length <= *size)
			memmove(bytes + at, bytes + from, length);
	}
	}
}

int main(int argc, char **argv)
{
	static uint8_t bytes[INPUT_LIMIT];
	unsigned long inputs = 0;
	time_t end;

	if (argc < 3) {
		fprintf(stderr, "usage: fuzz-decoder SECONDS SEED-FILE...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		read_seed(argv[i]);
	for (size_t i = 0; i < seed_count; i++)
		LLVMFuzzerTestOneInput(seeds[i].bytes, seeds[i].size);
	end = time(NULL) + atoi(argv[1]);
	while (time(NULL) < end) {
		for (int round = 0; round < 256; round++, inputs++) {
			const struct seed *seed = &seeds[next() % seed_count];
			size_t size = seed->size;

			memcpy(bytes, seed->bytes, size);
			for (uint64_t changes = 1 + next() % 4; changes > 0 && size > 0; changes--)
				mutate(bytes, &size);
			LLVMFuzzerTestOneInput(bytes, size);
		}
	}
	printf("%lu inputs\n", inputs);
	return 0;
}
