/* The cache of compiled programs: the form of a request, and the entries (docs/program-cache.md). */
#ifndef GANTRY_CACHED_H
#define GANTRY_CACHED_H

#include "executor.h"

#define NAME_LIMIT 24u
#define FORM_LIMIT (512u << 10)
enum name_number { NAME_ID = 0, NAME_SHORT_ID = 1 };

struct name {
	const char *text;
	uint8_t size;
};

/* Its names point into what it was made from. */
struct normal_form {
	char bytes[FORM_LIMIT + 4] __attribute__((aligned(8)));
	uint32_t size;
	struct name names[NAME_LIMIT];
	uint32_t name_count;
};

/* normal.c */
bool begin_form(struct normal_form *form, const char *id);
bool normalize(struct normal_form *form, const char *text, size_t length, bool is_json);
bool normalize_word(struct normal_form *form, const char *word);

/* checks.c */
bool facts_hold(const uint8_t *checks, uint32_t size);

#endif
