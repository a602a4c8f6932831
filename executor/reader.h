/*
 * Takes fields out of one record, checking every length before use. Texts stay where they are; the pointers of
 * a list are written into the zero slots that the record keeps for them, so decoding allocates and copies nothing.
 */
#ifndef GANTRY_READER_H
#define GANTRY_READER_H

#include "kernel.h"

/* One record: `base` is aligned to 8 and has `length` bytes, a multiple of 8; `at` is the next byte to take. */
struct reader {
	uint8_t *base;
	uint32_t length;
	uint32_t at;
	/* The record was decoded before, so the slots of its lists hold pointers already. */
	bool decoded_before;
};

struct byte_view {
	const uint8_t *bytes;
	uint32_t length;
};

/* Takes an integer of `size` bytes. `at <= length` holds before and after each take. */
static inline bool take_integer(struct reader *r, void *value, uint32_t size)
{
	if (r->length - r->at < size)
		return false;
	memcpy(value, r->base + r->at, size);
	r->at += size;
	return true;
}

static inline bool take_u32(struct reader *r, uint32_t *value)
{
	return take_integer(r, value, sizeof(*value));
}

static inline bool take_u64(struct reader *r, uint64_t *value)
{
	return take_integer(r, value, sizeof(*value));
}

static inline bool take_i64(struct reader *r, int64_t *value)
{
	return take_integer(r, value, sizeof(*value));
}

/* Skips zero bytes up to the next multiple of 8; `length` is one, so `at` cannot pass it. */
static inline bool take_padding(struct reader *r)
{
	for (; r->at % 8 != 0; r->at++)
		if (r->base[r->at] != 0)
			return false;
	return true;
}

/* A text with its NUL and none inside; `*text` points into the record. */
static inline bool take_text(struct reader *r, const char **text)
{
	uint32_t size;

	if (!take_u32(r, &size) || size >= r->length - r->at || r->base[r->at + size] != 0)
		return false;
	*text = (const char *)r->base + r->at;
	r->at += size + 1;
	return strlen(*text) == size;
}

/* A list of texts: `*texts` points to the slots in the record, which end in NULL. */
static inline bool take_texts(struct reader *r, char ***texts)
{
	uint32_t count;
	char **slots;

	if (!take_u32(r, &count) || !take_padding(r) || count >= (r->length - r->at) / 8)
		return false;
	slots = (char **)(void *)(r->base + r->at);
	r->at += (count + 1) * 8;
	for (uint32_t i = 0; i <= count && !r->decoded_before; i++)
		if (slots[i] != NULL)
			return false;
	for (uint32_t i = 0; i < count; i++) {
		const char *text;

		if (!take_text(r, &text))
			return false;
		slots[i] = (char *)(uintptr_t)text;
	}
	*texts = slots;
	return true;
}

/* Bytes that begin at a multiple of 8, as kernel structures in them need. */
static inline bool take_bytes(struct reader *r, struct byte_view *view)
{
	if (!take_u32(r, &view->length) || !take_padding(r) || view->length > r->length - r->at)
		return false;
	view->bytes = r->base + r->at;
	r->at += view->length;
	return true;
}

/* Nothing but less than 8 bytes of zero padding is left. */
static inline bool at_end(struct reader *r)
{
	return r->length - r->at < 8 && take_padding(r);
}

#endif
