/* Values of cgroups: written where the kernel has a place for them, with an answer waited for, and whose they are. */
#include "executor.h"

#define TOLERATE_MISSING 1
#define TOLERATE_ALL 2
#define ANSWER_BYTES 4096
#define FIRST_STEP_NS 100000ll
#define STEP_LIMIT_NS 10000000ll

int op_write_first(const struct op_write_first *op)
{
	int result = -ENOENT;

	for (size_t i = 0; op->paths[i] != NULL && op->data[i] != NULL && result == -ENOENT; i++)
		result = write_path(op->paths[i], op->data[i]);
	if (op->tolerant == TOLERATE_ALL || (op->tolerant == TOLERATE_MISSING && result == -ENOENT))
		return 0;
	return result;
}

int op_change_owner(const struct op_change_owner *op)
{
	int fd OWNED = open_path(op->path, O_PATH | O_NOFOLLOW);

	if (fd == -ENOENT)
		return 0;
	TRY(fd);
	return SYS(fchownat, fd, "", op->uid, op->gid, AT_EMPTY_PATH);
}

/* Whether a line of the file `path` is `expected`; -errno when it cannot be read. */
static int has_line(const char *path, const char *expected)
{
	char buffer[ANSWER_BYTES];
	size_t size = strlen(expected);
	int length = read_file(open_path(path, O_RDONLY | O_NOFOLLOW), buffer, sizeof(buffer));
	size_t start = 0;

	TRY(length);
	for (size_t at = 0; at <= (size_t)length; at++) {
		if (at < (size_t)length && buffer[at] != '\n')
			continue;
		if (at - start == size && memcmp(buffer + start, expected, size) == 0)
			return 1;
		start = at + 1;
	}
	return 0;
}

int op_write_and_await(const struct op_write_and_await *op)
{
	struct __kernel_timespec step = { .tv_nsec = FIRST_STEP_NS };
	int64_t left = (int64_t)op->limit_ms * 1000000;

	for (;;) {
		int found;

		/* KERNEL: processes that come meanwhile may escape a v1 freezer; writing again catches them. */
		TRY(write_path(op->path, op->data));
		found = has_line(op->answer, op->expected);
		TRY(found);
		if (found > 0)
			return 0;
		if (left <= 0)
			break;
		SYS(nanosleep, &step, NULL);
		left -= step.tv_nsec;
		if (step.tv_nsec < STEP_LIMIT_NS)
			step.tv_nsec *= 2;
	}
	if (op->undo[0] != '\0')
		write_path(op->path, op->undo);
	return -ETIMEDOUT;
}
