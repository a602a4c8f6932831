/* A container's state as text: what its directory, its first process and its freezer say at this moment. */
#include "executor.h"

#define DAY_SECONDS 86400

/* A line that is built up; what does not fit is left out. */
struct line {
	char bytes[512];
	size_t size;
};

static void add(struct line *line, const char *text)
{
	for (; *text != '\0' && line->size < sizeof(line->bytes); text++)
		line->bytes[line->size++] = *text;
}

/* Adds `value` with at least `digits` digits. */
static void add_number(struct line *line, uint32_t value, size_t digits)
{
	char text[11];
	size_t size = format_decimal(text, value);

	text[size] = '\0';
	for (; digits > size; digits--)
		add(line, "0");
	add(line, text);
}

/* Adds a time as RFC 3339 in UTC. The calendar is the proleptic Gregorian one, counted in eras of 400 years from March. */
static void add_time(struct line *line, int64_t seconds, uint32_t nanos)
{
	uint64_t days = (uint64_t)(seconds / DAY_SECONDS) + 719468;
	uint32_t rest = (uint32_t)(seconds % DAY_SECONDS);
	uint32_t era = (uint32_t)(days / 146097);
	uint32_t day = (uint32_t)(days % 146097);
	uint32_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint32_t day_of_year = day - (365 * year + year / 4 - year / 100);
	uint32_t month = (5 * day_of_year + 2) / 153;

	add_number(line, year + era * 400 + (month >= 10), 4);
	add(line, "-");
	add_number(line, month < 10 ? month + 3 : month - 9, 2);
	add(line, "-");
	add_number(line, day_of_year - (153 * month + 2) / 5 + 1, 2);
	add(line, "T");
	add_number(line, rest / 3600, 2);
	add(line, ":");
	add_number(line, rest / 60 % 60, 2);
	add(line, ":");
	add_number(line, rest % 60, 2);
	add(line, ".");
	add_number(line, nanos, 9);
	add(line, "Z");
}

/* True when the freezer's file says that the container is frozen or about to be: "1" (v2), "FROZEN", "FREEZING" (v1). */
static bool is_frozen(const char *path)
{
	char text[16];
	int size;

	if (path[0] == '\0')
		return false;
	size = read_file(SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), text, sizeof(text));
	return size > 0 && (text[0] == '1' || text[0] == 'F');
}

/* Looks at the file `name` in the container's directory; false when it is not there. */
static bool look(int directory, const char *name, struct statx *found)
{
	return SYS(statx, directory, name, AT_SYMLINK_NOFOLLOW, STATX_MTIME, found) == 0;
}

static const char *status_of(int directory, bool alive, const char *freezer)
{
	struct statx found;

	if (!alive)
		return look(directory, "child", &found) ? "stopped" : "creating";
	if (!look(directory, "created", &found))
		return "creating";
	if (look(directory, "start", &found))
		return "created";
	return is_frozen(freezer) ? "paused" : "running";
}

int op_print_state(const struct op_print_state *op)
{
	struct line line = { .size = 0 };
	struct statx made;
	char record[PATH_BYTES];
	size_t size = strlen(op->directory);
	uint32_t pid = 0;
	int directory OWNED = SYS(openat, AT_FDCWD, op->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	TRY(directory);
	if (size + 7 > sizeof(record))
		return -ENAMETOOLONG;
	memcpy(record, op->directory, size);
	memcpy(record + size, "/child", 7);
	int process OWNED = open_recorded(record, &pid);
	add(&line, "\"pid\": ");
	add_number(&line, pid, 1);
	add(&line, ",\n  \"status\": \"");
	add(&line, status_of(directory, process >= 0, op->freezer));
	add(&line, "\"");
	if (look(directory, "created", &made) || look(directory, ".", &made)) {
		add(&line, ",\n  \"created\": \"");
		add_time(&line, made.stx_mtime.tv_sec, made.stx_mtime.tv_nsec);
		add(&line, "\"");
	}
	TRY(write_standard(1, op->head, strlen(op->head)));
	TRY(write_standard(1, line.bytes, line.size));
	return write_standard(1, op->tail, strlen(op->tail));
}
