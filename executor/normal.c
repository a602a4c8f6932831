/*
 * The normal form of a request: its words and its config.json with every name that was made up for one container taken out, so
 * that the next container of the same kind has the same form. src/runtime/cache/request.ts does the same, byte for byte.
 *
 * Names are the container's id where it is a word, and in texts: 64 or 32 hexadecimal digits, a UUID, a time (RFC 3339), and the
 * first 12 digits of an id of 64. In the form, each is the byte 1, its number and its size.
 *
 * SECURITY: a name that stands for another must mean nothing to the compiler. So it must lie in a JSON string, and have a
 * letter: no number and no word of a configuration is such a text.
 */
#include "cached.h"

#define SHORT_ID_BYTES 12

static bool is_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* How many hexadecimal digits are at `at`, counted up to `most`. */
static size_t run_at(const char *at, const char *end, size_t most)
{
	size_t size = 0;

	while (size < most && at + size < end && is_digit(at[size]))
		size++;
	return size;
}

static bool has_letter(const char *at, size_t size)
{
	for (; size > 0; size--, at++)
		if (*at >= 'a' && *at <= 'f')
			return true;
	return false;
}

/* 36 when a UUID is at `at`, else 0. */
static size_t uuid_at(const char *at, const char *end)
{
	static const uint8_t groups[] = { 8, 4, 4, 4, 12 };
	size_t size = 0;

	for (size_t i = 0; i < sizeof(groups); i++) {
		if (run_at(at + size, end, groups[i] + 1u) != groups[i])
			return 0;
		size += groups[i];
		if (i + 1 < sizeof(groups) && (at + size >= end || at[size++] != '-'))
			return 0;
	}
	return size;
}

/* How many decimal digits are at `at`, counted up to `most`. */
static size_t decimals_at(const char *at, const char *end, size_t most)
{
	size_t size = 0;

	while (size < most && at + size < end && at[size] >= '0' && at[size] <= '9')
		size++;
	return size;
}

/* The size of what is at `at` when it is like `pattern`, where 0 stands for any decimal digit; else 0. */
static size_t like(const char *at, const char *end, const char *pattern)
{
	size_t size = strlen(pattern);

	if (size > (size_t)(end - at))
		return 0;
	for (size_t i = 0; i < size; i++)
		if (pattern[i] == '0' ? decimals_at(at + i, end, 1) == 0 : at[i] != pattern[i])
			return 0;
	return size;
}

/* The size of the time (RFC 3339) at `at`, or 0. */
static size_t time_at(const char *at, const char *end)
{
	size_t size = like(at, end, "0000-00-00T00:00:00");
	size_t zone;

	if (size == 0)
		return 0;
	if (at + size < end && at[size] == '.') {
		size_t digits = decimals_at(at + size + 1, end, 10);

		if (digits == 0 || digits > 9)
			return 0;
		size += 1 + digits;
	}
	zone = like(at + size, end, "Z");
	if (zone == 0)
		zone = like(at + size, end, "+00:00");
	if (zone == 0)
		zone = like(at + size, end, "-00:00");
	return zone == 0 ? 0 : size + zone;
}

/* The size of the name at `at`, where a run of `run` digits begins; 0 when it is none. */
static size_t name_at(const struct normal_form *form, const char *at, const char *end, size_t run)
{
	const struct name *short_id = &form->names[NAME_SHORT_ID];
	size_t size = run;

	if (run == 4)
		return time_at(at, end);
	if (run == 8)
		size = uuid_at(at, end);
	else if (run == SHORT_ID_BYTES)
		return short_id->size == run && memcmp(short_id->text, at, run) == 0 ? run : 0;
	else if (run != 64 && run != 32)
		return 0;
	return size > 0 && has_letter(at, size) ? size : 0;
}

/* The number of a name; -1 when there are too many. */
static int number_of(struct normal_form *form, const char *text, size_t size)
{
	for (uint32_t i = 0; i < form->name_count; i++)
		if (form->names[i].size == size && memcmp(form->names[i].text, text, size) == 0)
			return (int)i;
	if (form->name_count == NAME_LIMIT)
		return -1;
	form->names[form->name_count] = (struct name){ .text = text, .size = (uint8_t)size };
	return (int)form->name_count++;
}

static bool put(struct normal_form *form, const char *bytes, size_t size)
{
	if (size > FORM_LIMIT - form->size)
		return false;
	memcpy(form->bytes + form->size, bytes, size);
	form->size += (uint32_t)size;
	return true;
}

/* Appends the name `number` in its normal form. */
static bool put_name(struct normal_form *form, uint32_t number)
{
	char bytes[3] = { 1, (char)number, (char)form->names[number].size };

	return put(form, bytes, sizeof(bytes));
}

/* Appends the run of `run` digits at `at`, or the name that begins with it. Returns what it has taken; 0 when there is no room. */
static size_t put_run(struct normal_form *form, const char *at, const char *end)
{
	size_t run = run_at(at, end, (size_t)(end - at));
	size_t size = name_at(form, at, end, run);
	int number = size == 0 ? -1 : number_of(form, at, size);

	if (number >= 0)
		return put_name(form, (uint32_t)number) ? size : 0;
	return put(form, at, run) ? run : 0;
}

/* How many bytes an escape in a JSON string has. */
static size_t escape_at(const char *at, const char *end)
{
	size_t size = at + 1 < end && at[1] == 'u' ? 6 : 2;

	return size > (size_t)(end - at) ? (size_t)(end - at) : size;
}

/* Appends `text`, in JSON or not. False when there is no room, or it holds what stands for a name. */
bool normalize(struct normal_form *form, const char *text, size_t length, bool is_json)
{
	const char *end = text + length;
	bool in_string = !is_json;

	while (text < end) {
		size_t taken = 1;

		if (*text == 1)
			return false;
		if (is_json && *text == '"')
			in_string = !in_string;
		if (in_string && is_digit(*text)) {
			taken = put_run(form, text, end);
			if (taken == 0)
				return false;
			text += taken;
			continue;
		}
		if (is_json && in_string && *text == '\\')
			taken = escape_at(text, end);
		if (taken > FORM_LIMIT - form->size)
			return false;
		for (; taken > 0; taken--)
			form->bytes[form->size++] = *text++;
	}
	return true;
}

/* Begins a form with the container's id. */
bool begin_form(struct normal_form *form, const char *id)
{
	size_t size = strlen(id);
	bool has_short = size == 64 && run_at(id, id + size, size) == size && has_letter(id, SHORT_ID_BYTES);

	form->size = 0;
	form->names[NAME_ID] = (struct name){ .text = id, .size = (uint8_t)size };
	form->names[NAME_SHORT_ID] = (struct name){ .text = id, .size = has_short ? SHORT_ID_BYTES : 0 };
	form->name_count = NAME_SHORT_ID + 1;
	return put_name(form, NAME_ID);
}

/* Appends a word, in its normal form and with a NUL after it; a missing one is empty. */
bool normalize_word(struct normal_form *form, const char *word)
{
	return normalize(form, word == NULL ? "" : word, word == NULL ? 0 : strlen(word), false) && put(form, "", 1);
}
