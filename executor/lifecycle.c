/*
 * A container between two commands: the claim on its directory, its first process found again, started, signalled and
 * waited for.
 *
 *     create: claim, clone ... the child waits at a fifo         start: open-process, start (a byte into the fifo)
 *
 * A pid is reused, so a process is named by its pid and the time when it started, both of /proc/PID/stat.
 */
#include "executor.h"

#include <asm/poll.h>

#define STAT_BYTES 1024
#define FRONTS_SIGNAL UINT32_MAX
/* The fields of /proc/PID/stat after the name: the state is the first, the start time the twentieth. */
#define START_TIME_FIELD 19
/* For so long a killed process is waited for, 10 s in all. */
#define END_STEP_MS 100
#define END_TRIES 100

int op_claim(const struct op_claim *op)
{
	const char *name;
	int parent OWNED = -1;
	size_t size = strlen(op->path);
	char directory[PATH_BYTES];

	if (size >= sizeof(directory))
		return -ENAMETOOLONG;
	memcpy(directory, op->path, size + 1);
	while (size > 1 && directory[size - 1] != '/')
		size--;
	directory[size - (size > 1)] = '\0';
	TRY(make_path(directory, S_IFDIR, 0711));
	parent = open_parent(op->path, &name);
	TRY(parent);
	return SYS(mkdirat, parent, name, 0700);
}

int op_on_failure(const struct op_on_failure *op)
{
	self.cleaned = op->cleanup == 0;
	return 0;
}

/* What /proc/PID/stat says of a process: `pid` is 0 when the text is none. */
struct identity {
	uint32_t pid;
	char state;
	uint64_t started;
};

/* Reads a decimal number at `*at` and moves past it. */
static uint64_t take_number(const char **at)
{
	uint64_t value = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++)
		value = value * 10 + (uint64_t)(**at - '0');
	return value;
}

/* `text` ends in a NUL. The name in parentheses may hold anything, so what follows is looked for from the end. */
static struct identity parse_stat(const char *text, size_t size)
{
	const char *at = text;
	struct identity found = { .pid = (uint32_t)take_number(&at) };

	while (size > 0 && text[size - 1] != ')')
		size--;
	if (size == 0 || text[size] != ' ')
		return (struct identity){ .pid = 0 };
	at = text + size + 1;
	found.state = *at;
	for (int field = 0; field < START_TIME_FIELD; field++) {
		while (*at != ' ' && *at != '\0')
			at++;
		if (*at == ' ')
			at++;
	}
	found.started = take_number(&at);
	return found;
}

/* Reads a stat file; `pid` is 0 when there is none. */
static struct identity read_stat(const char *path)
{
	char text[STAT_BYTES];
	int size = read_file(SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), text, sizeof(text));

	if (size <= 0)
		return (struct identity){ .pid = 0 };
	text[size] = '\0';
	return parse_stat(text, (size_t)size);
}

static struct identity stat_of(uint32_t pid)
{
	char path[32] = "/proc/";
	size_t size = 6 + format_decimal(path + 6, pid);

	memcpy(path + size, "/stat", 6);
	return read_stat(path);
}

/* Opens the process that the file `record` names; -ESRCH when it has ended, zombies included. `*pid` is set when it is found. */
int open_recorded(const char *record, uint32_t *pid)
{
	struct identity wanted = read_stat(record);
	struct identity now;

	if (wanted.pid == 0)
		return -ESRCH;
	int fd OWNED = SYS(pidfd_open, wanted.pid, 0);
	TRY(fd);
	/* After the open: what the pid means now is what the descriptor holds. */
	now = stat_of(wanted.pid);
	if (now.pid != wanted.pid || now.started != wanted.started || now.state == 'Z' || now.state == 'X')
		return -ESRCH;
	*pid = wanted.pid;
	int result = fd;
	fd = -1;
	return result;
}

int op_open_process(const struct op_open_process *op)
{
	uint32_t pid = 0;
	int fd = open_recorded(op->record, &pid);

	close_fd(&self.target);
	self.target_pid = 0;
	if (fd == -ESRCH && op->required == 0)
		return 0;
	TRY(fd);
	self.target = fd;
	self.target_pid = pid;
	return 0;
}

int op_signal(const struct op_signal *op)
{
	if (self.target < 0)
		return -ESRCH;
	return SYS(pidfd_send_signal, self.target, op->number == FRONTS_SIGNAL ? self.signal : op->number, NULL, 0);
}

/* Waits for the end of the target for at most `milliseconds`. */
static int await_target(uint32_t milliseconds)
{
	struct pollfd poll = { .fd = self.target, .events = POLLIN };
	struct __kernel_timespec limit = {
		.tv_sec = milliseconds / 1000,
		.tv_nsec = (int64_t)(milliseconds % 1000) * 1000000,
	};
	int result;

	if (self.target < 0)
		return 0;
	result = SYS(ppoll, &poll, 1, &limit, NULL, 0);
	TRY(result);
	return result == 0 ? -ETIMEDOUT : 0;
}

int op_await_end(const struct op_await_end *op)
{
	return await_target(op->milliseconds);
}

/* KERNEL: cgroup v1 keeps even the killed frozen. One that is not frozen, or gone, is no matter. */
static void thaw(const char *freezer)
{
	size_t size = strlen(freezer);
	bool is_v1 = size > 6 && same_text(freezer + size - 6, ".state");
	int fd OWNED = size == 0 ? -1 : SYS(openat, AT_FDCWD, freezer, O_WRONLY | O_CLOEXEC, 0);

	if (fd >= 0)
		SYS(write, fd, is_v1 ? "THAWED" : "0", is_v1 ? 6 : 1);
}

int op_require_ended(const struct op_require_ended *op)
{
	struct statx found;
	int result = -ETIMEDOUT;

	if (self.target < 0)
		return 0;
	if (op->force == 0 && SYS(statx, AT_FDCWD, op->fifo, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &found) < 0)
		return -EBUSY;
	TRY(SYS(pidfd_send_signal, self.target, SIGKILL, NULL, 0));
	/* More than once: a `pause` that is under way may freeze it again. */
	for (int tries = 0; tries < END_TRIES && result == -ETIMEDOUT; tries++) {
		thaw(op->freezer);
		result = await_target(END_STEP_MS);
	}
	return result;
}

int op_join(const struct op_join *op)
{
	if (self.target < 0)
		return -ESRCH;
	/* From within, the compiler could be seen by the container, and would not come out. */
	if (!self.is_child && (op->flags & CLONE_NEWUSER) != 0)
		TRY(leave_teller());
	return SYS(setns, self.target, op->flags);
}

/* Waits until nobody reads the fifo any more: the process has been executed, which closed it, or has ended. */
static int await_reader_gone(int fifo)
{
	struct pollfd poll = { .fd = fifo };
	int result;

	do
		result = SYS(ppoll, &poll, 1, NULL, NULL, 0);
	while (result == -EINTR);
	return result < 0 ? result : 0;
}

int op_start(const struct op_start *op)
{
	uint32_t failure[2];
	int fifo OWNED = SYS(openat, AT_FDCWD, op->fifo, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);
	int size;

	/* No fifo: it was started before. No reader: its process has ended. */
	if (fifo == -ENOENT || fifo == -ENXIO)
		return fifo == -ENOENT ? -EALREADY : -ESRCH;
	TRY(fifo);
	TRY(SYS(unlinkat, AT_FDCWD, op->fifo, 0) < 0 ? -EALREADY : 0);
	size = SYS(write, fifo, "", 1);
	if (size < 0)
		return size == -EPIPE ? -ESRCH : size;
	TRY(await_reader_gone(fifo));
	size = read_file(SYS(openat, AT_FDCWD, op->failure, O_RDONLY | O_CLOEXEC, 0), (char *)failure, sizeof(failure) + 1);
	return size == (int)sizeof(failure) ? -(int)failure[1] : 0;
}

int op_create_file(const struct op_create_file *op)
{
	return write_whole(op->path, (const char *)op->data.bytes, op->data.length, op->mode);
}

int op_remove_file(const struct op_remove_file *op)
{
	int result = SYS(unlinkat, AT_FDCWD, op->path, 0);

	return result == -ENOENT ? 0 : result;
}
