/*
 * Trees: what a layer does to a directory. All run chrooted (dispatch.c), so a path leads nowhere else whatever links
 * the tree holds. Attributes are set in the order owner, mode, times: chown clears set-id bits, and everything sets times.
 */
#include "executor.h"

#define XATTR_LIST_BYTES (64u << 10)

/* The `file` op that is under way: its record is gone when its data comes. */
static struct {
	int fd;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	struct __kernel_timespec time;
	uint64_t size;
	/* Where the last chunk ended. */
	uint64_t end;
	struct kept_times parent;
} file = { .fd = -1, .parent = { .fd = -1 } };

int op_enter_root(const struct op_enter_root *op)
{
	if (self.outer_root >= 0)
		return -EBUSY;
	int outer OWNED = SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	TRY(outer);
	TRY(SYS(chdir, op->path));
	TRY(SYS(chroot, "."));
	self.outer_root = outer;
	outer = -1;
	return 0;
}

int op_leave_root(const struct op_leave_root *op UNUSED)
{
	TRY(SYS(fchdir, self.outer_root));
	TRY(SYS(chroot, "."));
	close_fd(&self.outer_root);
	return 0;
}

/* Remembers the times of the directory that holds `path` when `keep` is set. Its links are followed, as for `path`. */
static int keep_parent(struct kept_times *parent, const char *path, uint32_t keep)
{
	const char *name;

	parent->fd = -1;
	if (keep == 0)
		return 0;
	int fd OWNED = open_parent(path, &name);
	TRY(fd);
	TRY(keep_times(parent, fd));
	fd = -1;
	return 0;
}

/* Gives the parent its times back and closes it; passes `result` on unless that fails. */
static int restore_parent(struct kept_times *parent, int result)
{
	result = give_times_back(parent, result);
	close_fd(&parent->fd);
	return result;
}

/* Sets both times of `path`, or of the descriptor `fd` itself when `path` is NULL. */
static int set_times(int fd, const char *path, int64_t seconds, uint32_t nanos)
{
	struct __kernel_timespec times[2] = { { seconds, nanos }, { seconds, nanos } };

	return SYS(utimensat, fd, path, times, path == NULL ? 0 : AT_SYMLINK_NOFOLLOW);
}

/* Makes what `op` says at `path` by `make`; once more, after removing what was in its way. */
static int replace(int (*make)(const void *op), const void *op, const char *path)
{
	int result = make(op);

	if (result != -EEXIST)
		return result;
	TRY(remove_at(AT_FDCWD, path));
	return make(op);
}

/* Opens a new file for a `file` op. */
static int make_file(const void *op)
{
	const struct op_file *new = op;

	return SYS(openat, AT_FDCWD, new->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* All of an op that makes something by `make` and may have to keep its parent's times. */
static int make_entry(int (*make)(const void *op), const void *op, const char *path, uint32_t keep)
{
	struct kept_times parent;

	TRY(keep_parent(&parent, path, keep));
	return restore_parent(&parent, replace(make, op, path));
}

/* Begins a file; its chunks and its end follow (stream.c). */
int op_file(const struct op_file *op)
{
	TRY(keep_parent(&file.parent, op->path, op->keep_parent));
	file.fd = replace(make_file, op, op->path);
	file.mode = op->mode;
	file.uid = op->uid;
	file.gid = op->gid;
	file.time = (struct __kernel_timespec){ op->seconds, op->nanos };
	file.size = op->size;
	file.end = 0;
	return file.fd < 0 ? restore_parent(&file.parent, file.fd) : 0;
}

/* Writes one chunk of the file under way. Chunks rise, do not overlap and lie within its size (stream.c has checked). */
int file_chunk(uint64_t offset, const uint8_t *data, uint32_t size)
{
	file.end = offset + size;
	while (size > 0) {
		int written = SYS(pwrite64, file.fd, data, size, offset);

		TRY(written);
		data += written;
		offset += (uint32_t)written;
		size -= (uint32_t)written;
	}
	return 0;
}

/* Gives the open `fd` its attributes. */
static int finish(int fd, uint32_t uid, uint32_t gid, uint32_t mode, struct __kernel_timespec time)
{
	TRY(SYS(fchown, fd, uid, gid));
	TRY(SYS(fchmod, fd, mode & 07777));
	return set_times(fd, NULL, time.tv_sec, (uint32_t)time.tv_nsec);
}

/* Ends the file under way. */
int file_end(void)
{
	/* A hole at the end. */
	int result = file.end == file.size ? 0 : SYS(ftruncate, file.fd, file.size);

	if (result == 0)
		result = finish(file.fd, file.uid, file.gid, file.mode, file.time);
	close_fd(&file.fd);
	return restore_parent(&file.parent, result);
}

/* Makes and opens the directory of a `directory` op; -EEXIST when something else is there. */
static int make_directory(const void *op)
{
	const struct op_directory *new = op;
	int result = SYS(mkdirat, AT_FDCWD, new->path, 0700);

	if (result < 0 && result != -EEXIST)
		return result;
	result = SYS(openat, AT_FDCWD, new->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	return result == -ENOTDIR || result == -ELOOP ? -EEXIST : result;
}

int op_directory(const struct op_directory *op)
{
	struct __kernel_timespec time = { op->seconds, op->nanos };
	struct kept_times parent;

	TRY(keep_parent(&parent, op->path, op->keep_parent));
	int fd OWNED = replace(make_directory, op, op->path);
	return restore_parent(&parent, fd < 0 ? fd : finish(fd, op->uid, op->gid, op->mode, time));
}

static int make_symlink(const void *op)
{
	const struct op_symlink *new = op;

	TRY(SYS(symlinkat, new->target, AT_FDCWD, new->path));
	TRY(SYS(fchownat, AT_FDCWD, new->path, new->uid, new->gid, AT_SYMLINK_NOFOLLOW));
	return set_times(AT_FDCWD, new->path, new->seconds, new->nanos);
}

int op_symlink(const struct op_symlink *op)
{
	return make_entry(make_symlink, op, op->path, op->keep_parent);
}

/* True when both paths name one file: a link to itself must not remove it first. */
static bool is_same_file(const char *a, const char *b)
{
	struct statx left;
	struct statx right;

	return SYS(statx, AT_FDCWD, a, AT_SYMLINK_NOFOLLOW, STATX_INO, &left) == 0 &&
	       SYS(statx, AT_FDCWD, b, AT_SYMLINK_NOFOLLOW, STATX_INO, &right) == 0 && left.stx_ino == right.stx_ino &&
	       left.stx_dev_major == right.stx_dev_major && left.stx_dev_minor == right.stx_dev_minor;
}

static int make_hardlink(const void *op)
{
	const struct op_hardlink *new = op;
	int result = SYS(linkat, AT_FDCWD, new->target, AT_FDCWD, new->path, 0);

	return result == -EEXIST && is_same_file(new->path, new->target) ? 0 : result;
}

int op_hardlink(const struct op_hardlink *op)
{
	return make_entry(make_hardlink, op, op->path, op->keep_parent);
}

static int make_node(const void *op)
{
	const struct op_node *new = op;

	TRY(SYS(mknodat, AT_FDCWD, new->path, new->mode, device_number(new->major, new->minor)));
	TRY(SYS(fchownat, AT_FDCWD, new->path, new->uid, new->gid, AT_SYMLINK_NOFOLLOW));
	/* It was made a moment ago, so it is no link that could be followed. */
	TRY(SYS(fchmodat, AT_FDCWD, new->path, new->mode & 07777));
	return set_times(AT_FDCWD, new->path, new->seconds, new->nanos);
}

int op_node(const struct op_node *op)
{
	return make_entry(make_node, op, op->path, op->keep_parent);
}

int op_xattr(const struct op_xattr *op)
{
	return SYS(lsetxattr, op->path, op->name, op->value.bytes, op->value.length, 0);
}

int op_clear_xattrs(const struct op_clear_xattrs *op)
{
	static char list[XATTR_LIST_BYTES];
	static const char overlay[] = "trusted.overlay.";
	int size = SYS(llistxattr, op->path, list, sizeof(list));

	if (size == -EOPNOTSUPP)
		return 0;
	for (int at = 0; at < size; at += (int)strlen(list + at) + 1) {
		const char *name = list + at;
		int result;

		if (same_text(name, "security.selinux") ||
		    (strlen(name) >= sizeof(overlay) && memcmp(name, overlay, sizeof(overlay) - 1) == 0))
			continue;
		result = SYS(lremovexattr, op->path, name);
		if (result < 0 && result != -ENODATA)
			return result;
	}
	return size < 0 ? size : 0;
}

int op_times(const struct op_times *op)
{
	return set_times(AT_FDCWD, op->path, op->seconds, op->nanos);
}

/* Removes the tree at `path`; one whose parent is missing is missing too. */
static int remove_path(const char *path)
{
	const char *name;
	int holder OWNED = open_parent(path, &name);

	if (holder == -ENOENT || holder == -ENOTDIR)
		return 0;
	TRY(holder);
	return remove_at(holder, name);
}

int op_remove(const struct op_remove *op)
{
	struct kept_times parent;
	int result = keep_parent(&parent, op->path, op->keep_parent);

	if (result == -ENOENT || result == -ENOTDIR)
		return 0;
	return result < 0 ? result : restore_parent(&parent, remove_path(op->path));
}

int op_clear(const struct op_clear *op)
{
	int follow = op->follow != 0 ? 0 : O_NOFOLLOW;
	int fd OWNED = SYS(openat, AT_FDCWD, op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow, 0);
	struct kept_times kept;

	if (fd == -ENOENT)
		return 0;
	TRY(fd);
	TRY(keep_times(&kept, op->keep_times != 0 ? fd : -1));
	return give_times_back(&kept, clear_directory(fd, op->keep));
}

int op_parents(const struct op_parents *op)
{
	return make_path_keeping_times(op->path, S_IFDIR, 0755);
}

int op_end(const struct op_end *op UNUSED)
{
	return 0;
}

int op_remove_tree(const struct op_remove_tree *op)
{
	return remove_path(op->path);
}
