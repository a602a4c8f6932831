/* Control groups: directories that are made and removed, and the device filter of version 2. */
#include "executor.h"

#include <linux/bpf.h>

#define DEPTH_LIMIT 32
#define WAIT_LIMIT_NS 2000000000ll
#define STEP_LIMIT_NS 8000000ll
#define MAKE_TRIES 16
#define CPUSET_BYTES 4096
/* What a missing parent is made with, so that it can be told from what was there: nothing else gives cgroups the sticky bit. */
#define MADE_AS_PARENT 01000

/* How long removal has waited for dying processes so far. */
static int64_t waited_ns;

/* What is done with the cgroup `name` in `parent`, at `depth` below the one that an op names. */
typedef int (*cgroup_visit)(int parent, const char *name, int depth);

static int for_each_below(int directory, int depth, cgroup_visit visit);

/* Copies `path` without its last component, the "/" before it included; -EINVAL when it has one alone. */
static int path_above(const char *path, char *above)
{
	size_t size = strlen(path);

	while (size > 0 && path[size - 1] != '/')
		size--;
	if (size < 2 || size > PATH_BYTES)
		return -EINVAL;
	memcpy(above, path, size - 1);
	above[size - 1] = '\0';
	return 0;
}

/* Makes the cgroup `path` at `depth` above the one that is asked for; recursion is bounded by DEPTH_LIMIT. */
static int make_cgroup(const char *path, int depth)
{
	char above[PATH_BYTES];
	const char *name;
	int result = open_parent(path, &name);

	if (result == -ENOENT && depth < DEPTH_LIMIT) {
		TRY(path_above(path, above));
		TRY(make_cgroup(above, depth + 1));
		result = open_parent(path, &name);
	}
	int parent OWNED = result;
	TRY(parent);
	result = SYS(mkdirat, parent, name, depth == 0 ? 0755 : 0755 | MADE_AS_PARENT);
	return result == -EEXIST ? 0 : result;
}

/* Writes what `file` of the cpuset above `path` holds to that of `path`, if this is empty. */
static int inherit(const char *path, const char *file)
{
	char name[PATH_BYTES];
	char content[CPUSET_BYTES];
	size_t size = strlen(path);
	int length;

	if (size + strlen(file) >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, path, size);
	memcpy(name + size, file, strlen(file) + 1);
	length = read_file(open_path(name, O_RDONLY), content, sizeof(content));
	TRY(length);
	if (length > 1)
		return 0;
	while (name[size - 1] != '/')
		size--;
	memcpy(name + size - 1, file, strlen(file) + 1);
	length = read_file(open_path(name, O_RDONLY), content, sizeof(content) - 1);
	TRY(length);
	memcpy(name, path, strlen(path));
	memcpy(name + strlen(path), file, strlen(file) + 1);
	return write_once(open_path(name, O_WRONLY), content, (size_t)length);
}

/*
 * KERNEL: cgroup-v1/cpusets.rst: a new cpuset is empty, and no process can enter an empty one (ENOSPC). Values must be within
 * the parent's, so they are written from the top down.
 */
static int fill_cpusets(const char *top, const char *path)
{
	char directory[PATH_BYTES];
	size_t size = strlen(path);

	if (size >= sizeof(directory) || strlen(top) >= size)
		return -EINVAL;
	for (size_t at = strlen(top) + 1; at <= size; at++) {
		if (path[at] != '/' && path[at] != '\0')
			continue;
		memcpy(directory, path, at);
		directory[at] = '\0';
		TRY(inherit(directory, "/cpuset.cpus"));
		TRY(inherit(directory, "/cpuset.mems"));
	}
	return 0;
}

/* With `top`, of the cpuset hierarchy. */
static int make_with_parents(const char *path, const char *top)
{
	int result = -ENOENT;

	/* Whoever removes the last cgroup in a parent may remove that in between. */
	for (int tries = 0; result == -ENOENT && tries < MAKE_TRIES; tries++) {
		result = make_cgroup(path, 0);
		if (result == 0 && top != NULL)
			result = fill_cpusets(top, path);
	}
	return result;
}

int op_make_cgroup(const struct op_make_cgroup *op)
{
	return make_with_parents(op->path, NULL);
}

int op_make_cpuset(const struct op_make_cpuset *op)
{
	return make_with_parents(op->path, op->top);
}

/* Removes the cgroup `name` in `parent` with all below it, waiting while the kernel calls it busy. */
static int remove_cgroup(int parent, const char *name, int depth)
{
	struct __kernel_timespec step = { .tv_nsec = 1000000 };
	int result = SYS(unlinkat, parent, name, AT_REMOVEDIR);

	if (result == -EBUSY && depth < DEPTH_LIMIT) {
		int directory OWNED = SYS(openat, parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

		if (directory >= 0)
			TRY(for_each_below(directory, depth + 1, remove_cgroup));
		result = SYS(unlinkat, parent, name, AT_REMOVEDIR);
	}
	for (; result == -EBUSY && waited_ns < WAIT_LIMIT_NS; result = SYS(unlinkat, parent, name, AT_REMOVEDIR)) {
		SYS(nanosleep, &step, NULL);
		waited_ns += step.tv_nsec;
		if (step.tv_nsec < STEP_LIMIT_NS)
			step.tv_nsec *= 2;
	}
	return result == -ENOENT ? 0 : result;
}

/* Calls `visit` for each cgroup in `directory`; recursion is bounded by DEPTH_LIMIT. */
static int for_each_below(int directory, int depth, cgroup_visit visit)
{
	_Alignas(struct directory_entry) char buffer[1024];
	int size;

	while ((size = SYS(getdents64, directory, buffer, sizeof(buffer))) > 0) {
		for (int at = 0; at < size;) {
			struct directory_entry *entry = (struct directory_entry *)(void *)(buffer + at);

			at += entry->size;
			if (entry->type == ENTRY_DIRECTORY && !is_dots(entry->name))
				TRY(visit(directory, entry->name, depth));
		}
	}
	return size;
}

int op_remove_cgroup(const struct op_remove_cgroup *op)
{
	const char *name;
	int parent OWNED = open_parent(op->path, &name);

	if (parent == -ENOENT)
		return 0;
	TRY(parent);
	waited_ns = 0;
	return remove_cgroup(parent, name, 0);
}

int op_remove_empty_cgroup(const struct op_remove_empty_cgroup *op)
{
	struct statx found;
	const char *name;
	int parent OWNED = open_parent(op->path, &name);
	int result = parent < 0 ? parent : SYS(statx, parent, name, AT_SYMLINK_NOFOLLOW, STATX_MODE, &found);

	if (result == 0 && (found.stx_mode & MADE_AS_PARENT) != 0)
		result = SYS(unlinkat, parent, name, AT_REMOVEDIR);
	/* In use by others, or gone by somebody else's hand: both are as it should be. */
	return result == -EBUSY || result == -ENOTEMPTY || result == -ENOENT ? 0 : result;
}

/* What signal_cgroup() sends. */
static uint32_t signal_to_send;

/* Sends the signal to each process that the open cgroup.procs lists; 0 stands for one outside our pid namespace. */
static int signal_listed(int list)
{
	char buffer[1024];
	uint32_t pid = 0;
	int size;

	while ((size = SYS(read, list, buffer, sizeof(buffer))) > 0) {
		for (int i = 0; i < size; i++) {
			int result = 0;

			if (buffer[i] != '\n') {
				pid = pid * 10 + (uint32_t)(buffer[i] - '0');
				continue;
			}
			if (pid != 0)
				result = SYS(kill, pid, signal_to_send);
			pid = 0;
			if (result < 0 && result != -ESRCH)
				return result;
		}
	}
	return size;
}

static int signal_cgroup(int parent, const char *name, int depth)
{
	int directory OWNED = SYS(openat, parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	int list OWNED = -1;

	if (directory == -ENOENT)
		return 0;
	TRY(directory);
	list = SYS(openat, directory, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (list >= 0)
		TRY(signal_listed(list));
	return depth < DEPTH_LIMIT ? for_each_below(directory, depth + 1, signal_cgroup) : -ELOOP;
}

int op_signal_cgroup(const struct op_signal_cgroup *op)
{
	const char *name;
	int parent OWNED = open_parent(op->path, &name);

	if (parent == -ENOENT)
		return 0;
	TRY(parent);
	signal_to_send = op->signal;
	return signal_cgroup(parent, name, 0);
}

int op_device_filter(const struct op_device_filter *op)
{
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE };
	union bpf_attr attach = { .attach_type = BPF_CGROUP_DEVICE };

	if (op->program.length % sizeof(struct bpf_insn) != 0)
		return -EINVAL;
	int directory OWNED = open_path(op->path, O_RDONLY | O_DIRECTORY);
	TRY(directory);
	load.insn_cnt = op->program.length / (uint32_t)sizeof(struct bpf_insn);
	load.insns = (uint64_t)(uintptr_t)op->program.bytes;
	load.license = (uint64_t)(uintptr_t) "Apache-2.0";
	int program OWNED = SYS(bpf, BPF_PROG_LOAD, &load, sizeof(load));
	TRY(program);
	attach.target_fd = (uint32_t)directory;
	attach.attach_bpf_fd = (uint32_t)program;
	attach.attach_flags = BPF_F_ALLOW_MULTI;
	return SYS(bpf, BPF_PROG_ATTACH, &attach, sizeof(attach));
}
