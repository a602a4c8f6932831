/* Plain files: locks, atomic writes, single writes to the kernel's files. */
#include "executor.h"

#include <asm/statfs.h>
#include <linux/prctl.h>

#define COPY_LIMIT (1u << 20)

/* fs/proc/root.c: of the root of every proc file system. */
#define PROC_ROOT_INODE 1

/* Writes `value` in decimal to `out`, which has room for 10 digits; returns how many. */
size_t format_decimal(char *out, uint32_t value)
{
	char digits[10];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	for (size_t i = 0; i < count; i++)
		out[i] = digits[count - 1 - i];
	return count;
}

/* Reads all of `fd`, which is closed; also when it is an error. -EFBIG when it fills `room`. */
int read_file(int fd, char *buffer, size_t room)
{
	int source OWNED = fd;
	size_t size = 0;
	int taken = fd;

	TRY(fd);
	do {
		taken = SYS(read, source, buffer + size, room - size);
		TRY(taken);
		size += (size_t)taken;
	} while (taken > 0);
	return size == room ? -EFBIG : (int)size;
}

/* One write() of all of `text` to `fd`, which is closed; also when it is an error. The kernel's files take no second. */
int write_once(int fd, const char *text, size_t size)
{
	int target OWNED = fd;
	int written = fd < 0 ? fd : SYS(write, target, text, size);

	TRY(written);
	return (size_t)written == size ? 0 : -EIO;
}

/* Writes all of `text` to `fd`, however often that takes. */
int write_standard(int fd, const char *text, size_t size)
{
	while (size > 0) {
		int written = SYS(write, fd, text, size);

		TRY(written);
		text += written;
		size -= (size_t)written;
	}
	return 0;
}

/* Puts a file of these bytes at `path`, whole or not at all, by a file beside it that is renamed. */
int write_whole(const char *path, const char *text, size_t size, uint32_t mode)
{
	static char temporary[PATH_BYTES + 8];
	const char *name;
	int parent OWNED = open_parent(path, &name);
	int result;

	TRY(parent);
	memcpy(temporary, name, strlen(name));
	memcpy(temporary + strlen(name), ".tmp", 5);
	result = SYS(openat, parent, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	result = write_once(result, text, size);
	if (result == 0)
		result = SYS(renameat2, parent, temporary, parent, name, 0);
	if (result < 0)
		SYS(unlinkat, parent, temporary, 0);
	return result;
}

int op_lock(const struct op_lock *op)
{
	if (self.lock >= 0)
		return -EBUSY;
	int fd OWNED = SYS(openat, AT_FDCWD, op->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	TRY(fd);
	TRY(SYS(flock, fd, op->exclusive != 0 ? LOCK_EX : LOCK_SH));
	self.lock = fd;
	fd = -1;
	return 0;
}

/* KERNEL: flock(2): a lock belongs to the open file, not to a process; it goes when the last descriptor of that is closed. */
int op_lock_descriptor(const struct op_lock_descriptor *op)
{
	if (op->fd > 2)
		return -EBADF;
	return SYS(flock, (int)op->fd, op->exclusive != 0 ? LOCK_EX : LOCK_SH);
}

int op_unlock(const struct op_unlock *op UNUSED)
{
	close_fd(&self.lock);
	return 0;
}

int op_null_stdio(const struct op_null_stdio *op)
{
	if (op->fd > 2)
		return -EBADF;
	int fd OWNED = SYS(openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
	TRY(fd);
	TRY(SYS(dup3, fd, op->fd, 0));
	return 0;
}

/* Opens the root of the proc file system at /proc: it may be covered, or be a part of one. */
static int open_proc(void)
{
	struct statfs system;
	struct statx found;
	int fd OWNED = SYS(openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int result = fd;

	TRY(fd);
	TRY(SYS(fstatfs, fd, &system));
	TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_INO, &found));
	if (system.f_type != FILE_SYSTEM_PROC || found.stx_ino != PROC_ROOT_INODE)
		return -EXDEV;
	fd = -1;
	return result;
}

/*
 * Opens a file of the host's /proc for writing. SECURITY: whoever could mount one file of /proc over another would decide
 * what is written to, and its file system is the right one all the same; so no mount is passed (CVE-2025-52881).
 */
static int open_proc_file(const char *name)
{
	struct open_how how = {
		.flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
	};
	int proc OWNED = open_proc();

	TRY(proc);
	return SYS(openat2, proc, name, &how, sizeof(how));
}

/* Opens `path` for writing; with `magic` only when it lies on that kind of file system. */
static int open_to_write(const char *path, uint64_t magic)
{
	struct statfs found;
	int fd;

	if (magic == FILE_SYSTEM_PROC && self.root < 0 && strlen(path) > 6 && memcmp(path, "/proc/", 6) == 0)
		return open_proc_file(path + 6);
	fd = open_path(path, O_WRONLY | O_NOFOLLOW);
	if (fd < 0 || magic == 0)
		return fd;
	/* SECURITY: a mount over it could turn a label into a write to any file (CVE-2025-52881). */
	if (SYS(fstatfs, fd, &found) == 0 && (uint64_t)found.f_type == magic)
		return fd;
	SYS(close, fd);
	return -EXDEV;
}

/*
 * Writes a file of /proc/self. In a user namespace these belong to the outer root while this process is not dumpable,
 * so it becomes dumpable for the open alone.
 */
static int write_own(const char *path, const char *text, uint64_t magic)
{
	int fd = open_to_write(path, magic);

	if (fd == -EACCES && magic == FILE_SYSTEM_PROC) {
		SYS(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
		fd = open_to_write(path, magic);
		SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	}
	return write_once(fd, text, strlen(text));
}

/* One write() of `text` to the existing file `path`. */
int write_path(const char *path, const char *text)
{
	return write_own(path, text, 0);
}

int op_write(const struct op_write *op)
{
	return write_own(op->path, op->data, op->fs_magic);
}

int op_oom_score(const struct op_oom_score *op)
{
	int root = self.root;
	int result;

	/* The /proc that this process sees, even while a working root is being filled. */
	self.root = -1;
	result = write_own("/proc/self/oom_score_adj", op->value, FILE_SYSTEM_PROC);
	self.root = root;
	return result;
}

int op_copy_file(const struct op_copy_file *op)
{
	static char buffer[COPY_LIMIT + 1];
	struct statx found;
	/* O_NONBLOCK: the source may be a fifo that an image's author put there. */
	int fd = open_path(op->source, O_RDONLY | O_NONBLOCK);
	int root = self.root;
	int size;

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ENXIO || fd == -ELOOP)
		return 0;
	TRY(fd);
	size = SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found);
	if (size < 0 || (found.stx_mode & S_IFMT) != S_IFREG) {
		SYS(close, fd);
		return size;
	}
	size = read_file(fd, buffer, sizeof(buffer));
	if (size == -EFBIG)
		return 0;
	TRY(size);
	/* The target is the host's, whatever the working root. */
	self.root = -1;
	size = write_whole(op->target, buffer, (size_t)size, 0600);
	self.root = root;
	return size;
}

int op_child_pid(const struct op_child_pid *op)
{
	char text[10];
	size_t size;

	if (self.pid == 0)
		return -ESRCH;
	size = format_decimal(text, (uint32_t)self.pid);
	if (op->create != 0)
		return write_whole(op->path, text, size, 0644);
	return write_once(open_path(op->path, O_WRONLY | O_NOFOLLOW), text, size);
}

/* Opens /proc/`pid`/`file`. */
int open_process_file(int pid, const char *file, int flags)
{
	char path[64] = "/proc/";
	size_t size = strlen(file);
	size_t at = 6;

	if (pid == 0)
		return -ESRCH;
	at += format_decimal(path + at, (uint32_t)pid);
	if (size + at + 2 > sizeof(path))
		return -ENAMETOOLONG;
	path[at++] = '/';
	memcpy(path + at, file, size + 1);
	return SYS(openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

int op_child_file(const struct op_child_file *op)
{
	return write_once(open_process_file(self.pid, op->file, O_WRONLY | O_NOFOLLOW), op->data, strlen(op->data));
}

int op_record_child(const struct op_record_child *op)
{
	char buffer[1024];
	int size = read_file(open_process_file(self.pid, "stat", O_RDONLY | O_NOFOLLOW), buffer, sizeof(buffer));

	return size < 0 ? size : write_whole(op->path, buffer, (size_t)size, 0600);
}

int op_record_exit(const struct op_record_exit *op)
{
	char text[32];
	uint32_t signal = (uint32_t)self.status & 0x7f;
	const char *word = signal == 0 ? "exited " : "signaled ";
	size_t size = strlen(word);

	if (!self.has_status)
		return -ESRCH;
	memcpy(text, word, size);
	size += format_decimal(text + size, signal == 0 ? ((uint32_t)self.status >> 8) & 0xff : signal);
	return write_whole(op->path, text, size, 0600);
}

int op_label_directory(const struct op_label_directory *op)
{
	int fd OWNED = open_path(op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	TRY(fd);
	/* With its NUL, as the kernel shows it. */
	return SYS(fsetxattr, fd, "security.selinux", op->label, strlen(op->label) + 1, 0);
}
