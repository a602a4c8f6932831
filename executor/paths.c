/*
 * Paths. Before `root` they are the host's; after it the kernel resolves them inside the working root, whatever
 * symbolic links the container's file system holds. No path is ever judged by its text.
 */
#include "executor.h"

#define LINKS_LIMIT 40
#define RACES_LIMIT 128

/* Result of a step that ran into a symbolic link to something missing. */
#define DANGLING 1

/* Opens `path` with O_* `flags`, close-on-exec; inside the working root when there is one. */
int open_path(const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd = -EAGAIN;

	if (self.root < 0)
		return SYS(openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
	/* KERNEL: a rename anywhere while ".." is resolved makes openat2() ask for another try. */
	for (int i = 0; i < RACES_LIMIT && fd == -EAGAIN; i++)
		fd = SYS(openat2, self.root, path, &how, sizeof(how));
	return fd;
}

/*
 * Opens the directory that holds `path` (O_PATH) and points `name` to the last component, which stays valid until the
 * next call. A path that ends in "." or ".." or nothing names no entry: -EINVAL.
 */
int open_parent(const char *path, const char **name)
{
	static char buffer[PATH_BYTES];
	size_t end = strlen(path);
	size_t start;

	if (end >= sizeof(buffer))
		return -ENAMETOOLONG;
	memcpy(buffer, path, end + 1);
	while (end > 0 && buffer[end - 1] == '/')
		buffer[--end] = '\0';
	for (start = end; start > 0 && buffer[start - 1] != '/'; start--)
		;
	*name = buffer + start;
	if (start == end || same_text(*name, ".") || same_text(*name, ".."))
		return -EINVAL;
	if (start == 0)
		return open_path(".", O_PATH | O_DIRECTORY);
	if (start == 1)
		return open_path("/", O_PATH | O_DIRECTORY);
	buffer[start - 1] = '\0';
	return open_path(buffer, O_PATH | O_DIRECTORY);
}

/*
 * Opens `prefix`, making its last component `name` in `*parent` when it is missing, and puts it in place of `*parent`.
 */
static int make_component(int *parent, const char *prefix, const char *name, uint32_t mode)
{
	bool directory = (mode & S_IFMT) == S_IFDIR;
	uint64_t flags = directory ? O_PATH | O_DIRECTORY : O_PATH;
	int fd = open_path(prefix, flags);

	if (fd == -ENOENT) {
		int result = directory ? SYS(mkdirat, *parent, name, mode & ~(uint32_t)S_IFMT)
				       : SYS(mknodat, *parent, name, mode, 0);

		if (result == -EEXIST)
			return DANGLING;
		if (result < 0)
			return result;
		fd = open_path(prefix, flags);
	}
	if (fd < 0)
		return fd;
	SYS(close, *parent);
	*parent = fd;
	return 0;
}

/*
 * Replaces the component [start, end) of `path` by the target of the symbolic link that it is in `parent`. Only names of
 * missing things are made so; the result is resolved inside the root again.
 */
static int follow_link(char *path, size_t start, size_t end, int parent)
{
	static char joined[PATH_BYTES];
	size_t rest = strlen(path + end);
	char kept = path[end];
	int size;

	path[end] = '\0';
	size = SYS(readlinkat, parent, path + start, joined + start, sizeof(joined) - start);
	path[end] = kept;
	/* No link: somebody else has just made it, and the next round will find it. */
	if (size == -EINVAL)
		return 0;
	if (size < 0)
		return size;
	if (start + (size_t)size + rest >= sizeof(joined))
		return -ENAMETOOLONG;
	if (joined[start] == '/') {
		memmove(joined, joined + start, (size_t)size);
		start = 0;
	} else {
		memcpy(joined, path, start);
	}
	memcpy(joined + start + size, path + end, rest + 1);
	memcpy(path, joined, start + (size_t)size + rest + 1);
	return 0;
}

/* One walk over the components of `path`, which is restored; DANGLING when a link was replaced in it. */
static int make_components(char *path, uint32_t mode)
{
	int parent = open_path(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY);
	int result = parent < 0 ? parent : 0;
	size_t end = 0;

	while (result == 0) {
		size_t start = end;
		size_t next;
		char kept;

		while (path[start] == '/')
			start++;
		if (path[start] == '\0')
			break;
		for (end = start; path[end] != '\0' && path[end] != '/'; end++)
			;
		for (next = end; path[next] == '/'; next++)
			;
		kept = path[end];
		path[end] = '\0';
		result = make_component(&parent, path, path + start,
					path[next] == '\0' && kept != '/' ? mode : S_IFDIR | 0755);
		path[end] = kept;
		if (result == DANGLING) {
			result = follow_link(path, start, end, parent);
			if (result == 0)
				result = DANGLING;
		}
	}
	close_fd(&parent);
	return result;
}

/* Makes `path` in a parent that exists. -EEXIST or -ENOENT when a link or a missing parent asks for the long way. */
static int make_in_parent(const char *path, uint32_t mode)
{
	const char *name;
	int parent = open_parent(path, &name);
	int result;

	if (parent < 0)
		return parent == -EINVAL ? -ENOENT : parent;
	if ((mode & S_IFMT) == S_IFDIR)
		result = SYS(mkdirat, parent, name, mode & ~(uint32_t)S_IFMT);
	else
		result = SYS(mknodat, parent, name, mode, 0);
	SYS(close, parent);
	return result;
}

/*
 * Makes a directory or an empty regular file at `path` (`kind` is its S_IF*) with `mode`, and missing parents with 0755;
 * what exists is kept. Links to missing places are followed, as images have them (/etc/resolv.conf, /var/run).
 */
int make_path(const char *path, uint32_t kind, uint32_t mode)
{
	static char buffer[PATH_BYTES];
	size_t size = strlen(path);
	int result = open_path(path, kind == S_IFDIR ? O_PATH | O_DIRECTORY : O_PATH);

	if (result >= 0)
		SYS(close, result);
	if (result != -ENOENT)
		return result < 0 ? result : 0;
	result = make_in_parent(path, kind | mode);
	if (result != -EEXIST && result != -ENOENT)
		return result;
	if (size >= sizeof(buffer))
		return -ENAMETOOLONG;
	memcpy(buffer, path, size + 1);
	while (size > 1 && buffer[size - 1] == '/')
		buffer[--size] = '\0';
	result = DANGLING;
	for (int links = 0; links < LINKS_LIMIT && result == DANGLING; links++)
		result = make_components(buffer, kind | mode);
	return result == DANGLING ? -ELOOP : result;
}

int op_ensure_directory(const struct op_ensure_directory *op)
{
	return make_path(op->path, S_IFDIR, op->mode & 07777);
}

int op_ensure_file(const struct op_ensure_file *op)
{
	return make_path(op->path, S_IFREG, op->mode & 07777);
}

/* Keeps what exists when it is a `kind` of number `device`. */
static int check_node(int parent, const char *name, uint32_t kind, const struct op_make_node *op)
{
	struct statx found;
	int result = SYS(statx, parent, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &found);

	if (result < 0)
		return result;
	if ((found.stx_mode & S_IFMT) != kind ||
	    (kind != S_IFIFO && (found.stx_rdev_major != op->major || found.stx_rdev_minor != op->minor)))
		return -EEXIST;
	return 0;
}

int op_make_node(const struct op_make_node *op)
{
	const char *name;
	int parent = open_parent(op->path, &name);
	int result = parent;

	if (parent < 0)
		return parent;
	result = SYS(mknodat, parent, name, op->mode, device_number(op->major, op->minor));
	if (result == -EEXIST)
		result = check_node(parent, name, op->mode & S_IFMT, op);
	if (result == 0)
		result = SYS(fchownat, parent, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW);
	/* After chown, which may clear mode bits. It is a node, as checked above, so there is no link to follow. */
	if (result == 0)
		result = SYS(fchmodat, parent, name, op->mode & 07777);
	SYS(close, parent);
	return result;
}

int op_make_symlink(const struct op_make_symlink *op)
{
	static char found[PATH_BYTES];
	const char *name;
	int parent = open_parent(op->path, &name);
	int result;

	if (parent < 0)
		return parent;
	result = SYS(symlinkat, op->target, parent, name);
	if (result == -EEXIST) {
		int size = SYS(readlinkat, parent, name, found, sizeof(found));

		if (size >= 0 && (size_t)size == strlen(op->target) && memcmp(found, op->target, (size_t)size) == 0)
			result = 0;
	}
	SYS(close, parent);
	return result;
}

int op_root(const struct op_root *op)
{
	int fd = SYS(openat, AT_FDCWD, op->path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	close_fd(&self.root);
	self.root = fd;
	return 0;
}
