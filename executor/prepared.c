/*
 * Calls of `gantry-runtime` that need no compiler: `start`, `state`, `kill` and `delete` of a container are programs that
 * `create` has put beside it (ROOT/ID/VERB.program).
 */
#include "executor.h"

/* Appends `text` at `*at`; false when there is no room. */
bool append(char *path, size_t *at, const char *text)
{
	size_t size = strlen(text);

	if (*at + size >= PATH_BYTES)
		return false;
	memcpy(path + *at, text, size + 1);
	*at += size;
	return true;
}

/* True when `fd` is of type `kind`, ours, and has none of the bits `forbidden` in its mode. */
bool is_ours(int fd, uint32_t kind, uint32_t forbidden)
{
	struct statx found;

	if (SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE | STATX_UID, &found) < 0)
		return false;
	/* SECURITY: with --root in a place that others may write to, they could have put a program there. */
	return (found.stx_mode & S_IFMT) == kind && (found.stx_mode & forbidden) == 0 && found.stx_uid == (uint32_t)SYS(geteuid);
}

/* Opens the program that serves this call; -1 when there is none. */
int open_prepared(const struct call *call)
{
	char path[PATH_BYTES];
	size_t at = 0;

	if (call->makes)
		return -1;
	if (!append(path, &at, call->root) || !append(path, &at, "/") || !append(path, &at, call->id) || !append(path, &at, "/") ||
	    !append(path, &at, call->verb) || !append(path, &at, call->force ? "-force.program" : ".program"))
		return -1;
	int fd OWNED = SYS(openat, AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0 || !is_ours(fd, S_IFREG, 022))
		return -1;
	self.signal = call->signal;
	int program = fd;
	fd = -1;
	return program;
}
