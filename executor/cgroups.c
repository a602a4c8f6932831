/* Control groups: directories that are made and removed, and the device filter of version 2. */
#include "executor.h"

#include <linux/bpf.h>

#define DEPTH_LIMIT 32
#define WAIT_LIMIT_MS 2000

/* Milliseconds that removal has waited for dying processes so far. */
static uint32_t waited_ms;

static int remove_below(int directory, int depth);

int op_make_cgroup(const struct op_make_cgroup *op)
{
	return make_path(op->path, S_IFDIR, 0755);
}

/* Removes the cgroup `name` in `parent` with all below it, waiting while the kernel calls it busy. */
static int remove_cgroup(int parent, const char *name, int depth)
{
	uint32_t step_ms = 1;
	int result = SYS(unlinkat, parent, name, AT_REMOVEDIR);
	int directory;

	if (result != -EBUSY)
		return result == -ENOENT ? 0 : result;
	if (depth == DEPTH_LIMIT)
		return -ELOOP;
	directory = SYS(openat, parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (directory < 0)
		return directory == -ENOENT ? 0 : directory;
	result = remove_below(directory, depth + 1);
	SYS(close, directory);
	if (result < 0)
		return result;
	while ((result = SYS(unlinkat, parent, name, AT_REMOVEDIR)) == -EBUSY && waited_ms < WAIT_LIMIT_MS) {
		struct __kernel_timespec step = { .tv_nsec = step_ms * 1000000 };

		SYS(nanosleep, &step, NULL);
		waited_ms += step_ms;
		step_ms = step_ms < 8 ? step_ms * 2 : 10;
	}
	return result == -ENOENT ? 0 : result;
}

/* Removes the cgroups in `directory`; recursion is bounded by DEPTH_LIMIT. */
static int remove_below(int directory, int depth)
{
	_Alignas(struct directory_entry) char buffer[1024];
	int size;

	while ((size = SYS(getdents64, directory, buffer, sizeof(buffer))) > 0) {
		for (int at = 0; at < size;) {
			struct directory_entry *entry = (struct directory_entry *)(void *)(buffer + at);
			int result = 0;

			at += entry->size;
			if (entry->type == ENTRY_DIRECTORY && !same_text(entry->name, ".") &&
			    !same_text(entry->name, ".."))
				result = remove_cgroup(directory, entry->name, depth);
			if (result < 0)
				return result;
		}
	}
	return size;
}

int op_remove_cgroup(const struct op_remove_cgroup *op)
{
	const char *name;
	int parent = open_parent(op->path, &name);
	int result;

	if (parent < 0)
		return parent == -ENOENT ? 0 : parent;
	waited_ms = 0;
	result = remove_cgroup(parent, name, 0);
	SYS(close, parent);
	return result;
}

int op_device_filter(const struct op_device_filter *op)
{
	union bpf_attr attributes;
	int directory;
	int program;
	int result;

	if (op->program.length % sizeof(struct bpf_insn) != 0)
		return -EINVAL;
	directory = open_path(op->path, O_RDONLY | O_DIRECTORY);
	if (directory < 0)
		return directory;
	memset(&attributes, 0, sizeof(attributes));
	attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attributes.insn_cnt = op->program.length / (uint32_t)sizeof(struct bpf_insn);
	attributes.insns = (uint64_t)(uintptr_t)op->program.bytes;
	attributes.license = (uint64_t)(uintptr_t) "Apache-2.0";
	program = SYS(bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
	result = program;
	if (program >= 0) {
		memset(&attributes, 0, sizeof(attributes));
		attributes.target_fd = (uint32_t)directory;
		attributes.attach_bpf_fd = (uint32_t)program;
		attributes.attach_type = BPF_CGROUP_DEVICE;
		attributes.attach_flags = BPF_F_ALLOW_MULTI;
		result = SYS(bpf, BPF_PROG_ATTACH, &attributes, sizeof(attributes));
		SYS(close, program);
	}
	SYS(close, directory);
	return result;
}
